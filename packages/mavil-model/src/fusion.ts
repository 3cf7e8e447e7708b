// SPDX-License-Identifier: Apache-2.0
// Fusion of the visible tokens of both modalities: plain pre-norm blocks over the concatenation, audio first,
// class tokens included [MAViL §3.1]. With one modality a joint fusion is more blocks over its own tokens.
import { ConfigError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock, applyNorm } from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { Parameters } from './parameters.ts';

/** One value for each modality a model has. */
export type PerModality<T> = { readonly [M in Modality]?: T };

/**
 * Encoder outputs [batch, tokens, width] -> fused tokens of the same shapes. kind 'none' hands its input back.
 * The caller disposes the result (with 'none' it is the input).
 */
export function fuse(
  config: ModelConfig,
  parameters: Parameters,
  encoded: PerModality<tf.Tensor3D>,
  options: ComputeOptions = {},
): PerModality<tf.Tensor3D> {
  const { kind } = config.fusion;
  switch (kind) {
    case 'none':
      return encoded;
    case 'joint':
      return tf.tidy(() => fuseJointly(config, parameters, encoded, options));
    case 'bottleneck':
      throw new ConfigError("fuse: expected fusion 'joint' or 'none', got 'bottleneck'");
    default:
      return kind satisfies never;
  }
}

function fuseJointly(
  config: ModelConfig,
  parameters: Parameters,
  { audio, video }: PerModality<tf.Tensor3D>,
  options: ComputeOptions,
): PerModality<tf.Tensor3D> {
  const { depth, finalNorm } = config.fusion;
  const { heads } = config.encoder;
  const both = [audio, video].filter((tokens) => tokens !== undefined);
  let x = tf.concat(both, 1);
  for (let i = 0; i < depth; i++) {
    x = applyBlock(parameters, `fusion.blocks.${i}`, x, { kind: 'self', heads }, options);
  }
  if (finalNorm) x = applyNorm(parameters, 'fusion.norm', x);
  if (video === undefined) return { audio: x };
  if (audio === undefined) return { video: x };
  const split = audio.shape[1];
  return {
    audio: tf.slice(x, [0, 0, 0], [-1, split, -1]),
    video: tf.slice(x, [0, split, 0], [-1, -1, -1]),
  };
}
