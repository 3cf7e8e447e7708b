// SPDX-License-Identifier: Apache-2.0
// The encoder of one modality: a ViT over the visible patches only [MAE §3], [DiffMAViL App. C, D].
// Patches are masked first, then embedded: the diffused ones never pass through here.
import { gatherTokens, ShapeError, shapeOf } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock, applyEmbedding, applyNorm, weightOf } from './blocks.ts';
import type { BranchScales, ComputeOptions } from './blocks.ts';
import { patchValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { Parameters } from './parameters.ts';
import { positionTable } from './positions.ts';

export interface EncodeOptions extends ComputeOptions {
  /** int32 [batch, ordered]: token indices, those to encode first. Default: all tokens in grid order. */
  readonly order?: tf.Tensor;
  /** How many of `order` to encode, from its start. Default: all of them. */
  readonly visible?: number;
  /** Whether the final LayerNorm is applied, if the model has one. Default true. */
  readonly finalNorm?: boolean;
  /** Drop-path factors of each block, encoder.depth of them. */
  readonly scales?: readonly BranchScales[];
}

/**
 * patches [batch, tokens, patchValues] -> [batch, visible, width], in the order of `order`; with a class
 * token [batch, 1 + visible, width], the class token first. The caller disposes the result.
 */
export function encode(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  patches: tf.Tensor,
  options: EncodeOptions = {},
): tf.Tensor3D {
  const { width, depth, heads, classToken, finalNorm } = config.encoder;
  const where = `encode: ${modality}.patches`;
  const tokens = tokenCount(config, modality);
  shapeOf(patches, '[batch, tokens, patchValues]', where, {
    tokens,
    patchValues: patchValues(config, modality),
  });
  const name = `${modality}_encoder`;
  return tf.tidy(() => {
    const order = firstOf(options, `encode: ${modality}.order`);
    const kept = order === null ? patches : gatherTokens(patches, order);
    const embedded = applyEmbedding(parameters, `${name}.patch_embed`, kept, options);
    let x = tf.add<tf.Tensor3D>(embedded, positionsOf(config, modality, width, order));
    if (classToken) x = withClassToken(weightOf(parameters, `${name}.cls_token`), x);
    for (let i = 0; i < depth; i++) {
      const block = `${name}.blocks.${i}`;
      x = applyBlock(parameters, block, x, { kind: 'self', heads }, options, options.scales?.[i]);
    }
    if (!finalNorm || options.finalNorm === false) return x;
    return applyNorm(parameters, `${name}.norm`, x);
  });
}

/** `encode` for sound: patches [batch, tokens, patch^2] -> [batch, visible, width]. */
export function encodeAudio(
  config: ModelConfig,
  parameters: Parameters,
  patches: tf.Tensor,
  options: EncodeOptions = {},
): tf.Tensor3D {
  return encode(config, parameters, 'audio', patches, options);
}

/** `encode` for video: patches [batch, tokens, tubelet * patch^2 * 3] -> [batch, visible, width]. */
export function encodeVideo(
  config: ModelConfig,
  parameters: Parameters,
  patches: tf.Tensor,
  options: EncodeOptions = {},
): tf.Tensor3D {
  return encode(config, parameters, 'video', patches, options);
}

/** Tokens without the class token, if the model has one: [batch, 1 + visible, width] -> [batch, visible, width]. */
export function withoutClassToken(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor3D {
  return config.encoder.classToken ? tf.slice(tokens, [0, 1, 0], [-1, -1, -1]) : tokens;
}

/** Mean over the visible tokens, class token left out [MAViL §3.2]: [batch, tokens, width] -> [batch, width]. */
export function meanPool(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => tf.mean<tf.Tensor2D>(withoutClassToken(config, tokens), 1));
}

/**
 * Fixed positions of the tokens in `order` [batch, count], ready to add: [batch, count, width]; of all tokens
 * in grid order when it is null: [1, tokens, width].
 */
export function positionsOf(
  config: ModelConfig,
  modality: Modality,
  width: number,
  order: tf.Tensor | null,
): tf.Tensor3D {
  return tf.tidy(() => {
    const tokens = tokenCount(config, modality);
    const table = tf.tensor3d(positionTable(config, modality, width), [1, tokens, width]);
    if (order === null) return table;
    const [batch = 0, count = 0] = order.shape;
    // One gather for the whole batch: the table is shared, so the batch is laid along the tokens.
    const gathered = gatherTokens(table, tf.reshape(order, [1, batch * count]));
    return tf.reshape<tf.Rank.R3>(gathered, [batch, count, width]);
  });
}

function firstOf({ order, visible }: EncodeOptions, where: string): tf.Tensor | null {
  if (order === undefined) {
    if (visible === undefined) return null;
    throw new ShapeError(
      `${where}: expected an order to take ${visible} visible tokens from, got none`,
    );
  }
  const { ordered } = shapeOf(order, '[batch, ordered]', where);
  const count = visible ?? ordered;
  if (!Number.isInteger(count) || count < 1 || count > ordered) {
    throw new ShapeError(`${where}: expected 1..${ordered} visible tokens, got ${count}`);
  }
  return count === ordered ? order : tf.slice(order, [0, 0], [-1, count]);
}

function withClassToken(token: tf.Tensor, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, , width] = x.shape;
  return tf.concat([tf.add<tf.Tensor3D>(tf.zeros([batch, 1, width]), token), x], 1);
}
