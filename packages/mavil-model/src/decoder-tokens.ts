// SPDX-License-Identifier: Apache-2.0
// What both decoders begin and end with: visible and masked tokens at decoder width, their places, the head.
import { gatherTokens, scatterTokens } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyEmbedding, applyLinear, applyNorm, weightOf } from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import { tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { positionsOf } from './encoder.ts';
import type { Parameters } from './parameters.ts';

/** One modality's input to its decoder. */
export interface DecoderInput {
  /** Fused visible tokens [batch, visible, width], no class token. */
  readonly fused: tf.Tensor3D;
  /** int32 [batch, tokens]: visible first, then masked. */
  readonly order: tf.Tensor;
  /** int32 [batch, visible] and [batch, masked]: the two parts of `order`. */
  readonly visible: tf.Tensor;
  readonly masked: tf.Tensor;
  /** Diffused patches x_t [batch, masked, targetValues]; null with mask tokens. */
  readonly noised: tf.Tensor | null;
}

/** `embed`(fused visible), without positions: [batch, visible, decoder width]. */
export function visibleTokens(
  parameters: Parameters,
  modality: Modality,
  { fused }: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  return applyLinear(parameters, `${modality}_decoder.embed`, fused, options);
}

/** `noised_embed`(x_t), or the mask token repeated, without positions: [batch, masked, decoder width]. */
export function maskedTokens(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  { masked, noised }: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const name = `${modality}_decoder`;
  if (noised !== null) return applyEmbedding(parameters, `${name}.noised_embed`, noised, options);
  const [batch = 0, count = 0] = masked.shape;
  const zeros = tf.zeros<tf.Rank.R3>([batch, count, config.decoder.width]);
  return tf.add(zeros, weightOf(parameters, `${name}.mask_token`));
}

/** All tokens back in grid order, positions added: [batch, tokens, decoder width]. */
export function gridTokens(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const seen = visibleTokens(parameters, modality, input, options);
  const hidden = maskedTokens(config, parameters, modality, input, options);
  const shuffled = tf.concat([seen, hidden], 1);
  const ordered = scatterTokens(shuffled, input.order, tokenCount(config, modality));
  return tf.add(ordered, positionsOf(config, modality, config.decoder.width, null));
}

/** The masked tokens of a full grid: [batch, tokens, width] -> [batch, masked, width]; only these are scored. */
export function onlyMasked(x: tf.Tensor3D, { masked }: DecoderInput): tf.Tensor3D {
  return gatherTokens(x, masked);
}

/** Final LayerNorm and linear head: [batch, masked, decoder width] -> predicted x_0 [batch, masked, targetValues]. */
export function predictPatches(
  parameters: Parameters,
  modality: Modality,
  x: tf.Tensor3D,
  options: ComputeOptions,
): tf.Tensor3D {
  const name = `${modality}_decoder`;
  return applyLinear(parameters, `${name}.head`, applyNorm(parameters, `${name}.norm`, x), options);
}
