// SPDX-License-Identifier: Apache-2.0
// The decoders of a model: one per modality, or one pass over both [CAV-MAE, Audiovisual MAE].
import * as tf from '@tensorflow/tfjs-core';

import { decodeAudio } from './audio-decoder.ts';
import type { ComputeOptions } from './blocks.ts';
import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { maskedTokens, predictTargets, shownTokens, throughBlocks } from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import type { PerModality } from './fusion.ts';
import type { Parameters } from './parameters.ts';
import { decodeVideo } from './video-decoder.ts';

/** Whose visible tokens the decoder of a modality reads. */
export function shownModality({ decoder }: ModelConfig, modality: Modality): Modality {
  if (decoder.context === 'fused') return modality;
  return modality === 'audio' ? 'video' : 'audio';
}

/**
 * Predicted targets of the masked tokens, [batch, masked, targetValues] for each modality given.
 * A joint decoder reads the tokens of all that are given. The caller disposes the result.
 */
export function decode(
  config: ModelConfig,
  parameters: Parameters,
  inputs: PerModality<DecoderInput>,
  options: ComputeOptions = {},
): PerModality<tf.Tensor3D> {
  if (config.decoder.sharing === 'joint') {
    return tf.tidy(() => decodeJointly(config, parameters, inputs, options));
  }
  const { audio, video } = inputs;
  return {
    ...(audio && { audio: decodeAudio(config, parameters, audio, options) }),
    ...(video && { video: decodeVideo(config, parameters, video, options) }),
  };
}

function decodeJointly(
  config: ModelConfig,
  parameters: Parameters,
  inputs: PerModality<DecoderInput>,
  options: ComputeOptions,
): PerModality<tf.Tensor3D> {
  const given = modalities(config).flatMap((modality) => {
    const input = inputs[modality];
    return input === undefined ? [] : [{ modality, input }];
  });
  const parts = given.flatMap(({ modality, input }) => [
    shownTokens(config, parameters, modality, input, options),
    maskedTokens(config, parameters, modality, input, options),
  ]);
  const stack = 'shared_decoder';
  const x = throughBlocks(config, parameters, stack, tf.concat(parts, 1), options);
  let at = 0;
  const predicted = given.map(({ modality, input }, i) => {
    const masked = input.masked.shape[1] ?? 0;
    at += parts[2 * i]?.shape[1] ?? 0;
    const own = tf.slice(x, [0, at, 0], [-1, masked, -1]);
    at += masked;
    return [modality, predictTargets(config, parameters, modality, own, options)];
  });
  return Object.fromEntries(predicted) as PerModality<tf.Tensor3D>;
}
