// SPDX-License-Identifier: Apache-2.0
// What every decoder begins and ends with: visible and masked tokens at decoder width, in their places, the head.
import type { DiffusedPatches } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import {
  applyBlock,
  applyDiffusedEmbedding,
  applyEmbedding,
  applyLinear,
  applyNorm,
  weightOf,
} from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import { onlyClassTokens, withoutClassToken } from './encoder.ts';
import type { Parameters } from './parameters.ts';
import { placeTokens } from './token-places.ts';

/** Visible tokens that a decoder reads. */
export interface ShownTokens {
  /** Whose tokens these are: the decoder's own modality, or the other with inpainting. */
  readonly modality: Modality;
  /** Fused visible tokens [batch, visible, width], no class token. */
  readonly tokens: tf.Tensor3D;
  /** int32 [batch, visible]: their places in that modality's grid. */
  readonly order: tf.Tensor;
  /** Fused class tokens [batch, class tokens, width], for a decoder that takes the encoder's. */
  readonly classTokens?: tf.Tensor3D;
}

/** Encoder or fusion output [batch, class tokens + visible, width] as what the decoders of `config` read of it. */
export function shownOf(
  config: ModelConfig,
  modality: Modality,
  tokens: tf.Tensor3D,
  order: tf.Tensor,
): ShownTokens {
  const shown = { modality, tokens: withoutClassToken(config, tokens), order };
  if (config.decoder.classToken !== 'encoder') return shown;
  return { ...shown, classTokens: onlyClassTokens(config, tokens) };
}

/** Diffused patches x_t [batch, masked, targetPatchValues], or what they are made from, which training keeps instead. */
export type NoisedPatches = tf.Tensor | DiffusedPatches;

/** One modality's input to its decoder. */
export interface DecoderInput {
  readonly shown: ShownTokens;
  /** int32 [batch, masked]: places of the tokens to predict. */
  readonly masked: tf.Tensor;
  /** Null with mask tokens. */
  readonly noised: NoisedPatches | null;
}

/** The module that holds a modality's blocks and final norm. */
export function decoderStack(config: ModelConfig, modality: Modality): string {
  return config.decoder.sharing === 'separate' ? `${modality}_decoder` : 'shared_decoder';
}

/** The module that embeds visible tokens and holds the mask token. */
function inputModule(config: ModelConfig, modality: Modality): string {
  return config.decoder.sharing === 'joint' ? 'shared_decoder' : `${modality}_decoder`;
}

/** `embed`(visible), in their places: [batch, visible, decoder width]. */
export function shownTokens(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  { shown }: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const name = `${inputModule(config, modality)}.embed`;
  const embedded = applyLinear(parameters, name, shown.tokens, options);
  return placeTokens(config, parameters, `${shown.modality}_decoder`, embedded, shown.order);
}

/** `noised_embed`(x_t), or the mask token repeated, in their places: [batch, masked, decoder width]. */
export function maskedTokens(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  { masked, noised }: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const module = `${modality}_decoder` as const;
  const place = (x: tf.Tensor3D): tf.Tensor3D => placeTokens(config, parameters, module, x, masked);
  if (noised !== null) {
    const name = `${module}.noised_embed`;
    return place(
      noised instanceof tf.Tensor
        ? applyEmbedding(parameters, name, noised, options)
        : applyDiffusedEmbedding(parameters, name, noised, options),
    );
  }
  const [batch = 0, count = 0] = masked.shape;
  const zeros = tf.zeros<tf.Rank.R3>([batch, count, config.decoder.width]);
  const token = weightOf(parameters, `${inputModule(config, modality)}.mask_token`);
  return place(tf.add(zeros, token));
}

/**
 * Masked tokens after self-attention over the visible and masked ones: [batch, masked, decoder width].
 * The order of a sequence is nothing to self-attention, so the tokens need not go back to their grid.
 */
export function selfAttend(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const seen = shownTokens(config, parameters, modality, input, options);
  const hidden = maskedTokens(config, parameters, modality, input, options);
  const stack = decoderStack(config, modality);
  const both = [seen, hidden, ...decoderClassTokens(config, parameters, modality, input, options)];
  const x = throughBlocks(config, parameters, stack, tf.concat(both, 1), options);
  return tf.slice(x, [0, seen.shape[1], 0], [-1, hidden.shape[1], -1]);
}

/** The class token that the decoder mixes in, if any: [batch, count, decoder width]. It has no place. */
function decoderClassTokens(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  { shown, masked }: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D[] {
  const { classToken, width } = config.decoder;
  const { classTokens } = shown;
  if (classToken === 'encoder' && classTokens !== undefined) {
    const name = `${inputModule(config, modality)}.embed`;
    return [applyLinear(parameters, name, classTokens, options)];
  }
  if (classToken !== 'learned') return [];
  const zeros = tf.zeros<tf.Rank.R3>([masked.shape[0] ?? 0, 1, width]);
  return [tf.add(zeros, weightOf(parameters, `${modality}_decoder.cls_token`))];
}

/** All blocks of `stack`, self-attention over everything: the shape of x stays. */
export function throughBlocks(
  config: ModelConfig,
  parameters: Parameters,
  stack: string,
  x: tf.Tensor3D,
  options: ComputeOptions,
): tf.Tensor3D {
  const { depth, heads } = config.decoder;
  for (let i = 0; i < depth; i++) {
    const name = `${stack}.blocks.${i}`;
    x = applyBlock(config, parameters, name, x, { kind: 'self', heads }, options);
  }
  return x;
}

/** Final LayerNorm and linear head: [batch, masked, decoder width] -> predicted targets [batch, masked, targetValues]. */
export function predictTargets(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  x: tf.Tensor3D,
  options: ComputeOptions,
): tf.Tensor3D {
  const normed = applyNorm(config, parameters, `${decoderStack(config, modality)}.norm`, x);
  return applyLinear(parameters, `${modality}_decoder.head`, normed, options);
}
