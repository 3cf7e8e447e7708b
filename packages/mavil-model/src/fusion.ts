// SPDX-License-Identifier: Apache-2.0
// Fusion of the visible tokens of both modalities, class tokens included: jointly over the concatenation
// [MAViL §3.1], through a few bottleneck tokens [MBT], or jointly with norms that also serve each modality alone
// [CAV-MAE]. With one modality a joint fusion is more blocks over its own tokens.
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock, applyNorm, weightOf } from './blocks.ts';
import type { BranchScales, ComputeOptions } from './blocks.ts';
import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { Parameters } from './parameters.ts';

/** One value for each modality a model has. */
export type PerModality<T> = { readonly [M in Modality]?: T };

export interface FuseOptions extends ComputeOptions {
  /** Drop-path factors of each block, fusion.depth of them: blocks over both take those of audio. Default: none. */
  readonly scales?: PerModality<readonly BranchScales[]>;
}

/** Maps the values that are there. */
export function mapPresent<T, U>(
  { audio, video }: PerModality<T>,
  map: (value: T, modality: Modality) => U,
): PerModality<U> {
  return {
    ...(audio !== undefined && { audio: map(audio, 'audio') }),
    ...(video !== undefined && { video: map(video, 'video') }),
  };
}

/**
 * Encoder outputs [batch, tokens, width] -> fused tokens of the same shapes. kind 'none' hands its input back.
 * The caller disposes the result (with 'none' it is the input).
 */
export function fuse(
  config: ModelConfig,
  parameters: Parameters,
  encoded: PerModality<tf.Tensor3D>,
  options: FuseOptions = {},
): PerModality<tf.Tensor3D> {
  const { kind } = config.fusion;
  switch (kind) {
    case 'none':
      return encoded;
    case 'joint':
    case 'modality-norms':
      return tf.tidy(() => fuseJointly(config, parameters, encoded, options));
    case 'bottleneck':
      return tf.tidy(() => fuseThroughBottleneck(config, parameters, encoded, options));
    default:
      return kind satisfies never;
  }
}

/**
 * What stands for one modality by itself, in contrast and as an embedding: its encoder's output, or with
 * 'modality-norms' that output after a pass of its own through the fusion's blocks. Shapes stay.
 */
export function unimodalTokens(
  config: ModelConfig,
  parameters: Parameters,
  encoded: PerModality<tf.Tensor3D>,
  options: ComputeOptions = {},
): PerModality<tf.Tensor3D> {
  if (config.fusion.kind !== 'modality-norms') return encoded;
  const { heads } = config.encoder;
  return tf.tidy(() => {
    const passed = modalities(config).flatMap((modality) => {
      let x = encoded[modality];
      if (x === undefined) return [];
      for (let i = 0; i < config.fusion.depth; i++) {
        const attention = { kind: 'self', heads, norms: modality } as const;
        x = applyBlock(config, parameters, `fusion.blocks.${i}`, x, attention, options);
      }
      if (config.fusion.finalNorm) {
        x = applyNorm(config, parameters, `fusion.norm_${modality}`, x);
      }
      return [[modality, x]];
    });
    return Object.fromEntries(passed) as PerModality<tf.Tensor3D>;
  });
}

function fuseJointly(
  config: ModelConfig,
  parameters: Parameters,
  { audio, video }: PerModality<tf.Tensor3D>,
  options: FuseOptions,
): PerModality<tf.Tensor3D> {
  const { depth, finalNorm } = config.fusion;
  const { heads } = config.encoder;
  const both = [audio, video].filter((tokens) => tokens !== undefined);
  let x = tf.concat(both, 1);
  for (let i = 0; i < depth; i++) {
    const scales = options.scales?.audio?.[i];
    const attention = { kind: 'self', heads } as const;
    x = applyBlock(config, parameters, `fusion.blocks.${i}`, x, attention, options, scales);
  }
  if (finalNorm) x = applyNorm(config, parameters, 'fusion.norm', x);
  if (video === undefined) return { audio: x };
  if (audio === undefined) return { video: x };
  const [first, second] = splitAt(x, audio.shape[1]);
  return { audio: first, video: second };
}

/** Each modality's tokens see their own and the bottleneck's, which are then averaged [MAViL §3.1]. */
function fuseThroughBottleneck(
  config: ModelConfig,
  parameters: Parameters,
  encoded: PerModality<tf.Tensor3D>,
  options: FuseOptions,
): PerModality<tf.Tensor3D> {
  const { depth, finalNorm } = config.fusion;
  const { heads } = config.encoder;
  const present = modalities(config).filter((modality) => encoded[modality] !== undefined);
  let tokens = present.map((modality) => encoded[modality] as tf.Tensor3D);
  const shape = [tokens[0]?.shape[0] ?? 0, config.fusion.bottlenecks, config.encoder.width];
  let shared = tf.add<tf.Tensor3D>(tf.zeros(shape), weightOf(parameters, 'fusion.bottleneck'));
  for (let i = 0; i < depth; i++) {
    const parts = present.map((modality, m) => {
      const own = tokens[m] as tf.Tensor3D;
      const name = `fusion.${modality}_blocks.${i}`;
      const both = tf.concat([own, shared], 1);
      const scales = options.scales?.[modality]?.[i];
      const attention = { kind: 'self', heads } as const;
      const mixed = applyBlock(config, parameters, name, both, attention, options, scales);
      return splitAt(mixed, own.shape[1]);
    });
    tokens = parts.map(([own]) => own);
    const sum = parts.map(([, bottleneck]) => bottleneck).reduce((a, b) => tf.add(a, b));
    shared = tf.mul(sum, 1 / present.length);
  }
  const normed = finalNorm
    ? tokens.map((x) => applyNorm(config, parameters, 'fusion.norm', x))
    : tokens;
  return Object.fromEntries(present.map((modality, m) => [modality, normed[m]]));
}

/** The first `count` tokens, and the rest. */
function splitAt(x: tf.Tensor3D, count: number): [tf.Tensor3D, tf.Tensor3D] {
  return [tf.slice(x, [0, 0, 0], [-1, count, -1]), tf.slice(x, [0, count, 0], [-1, -1, -1])];
}
