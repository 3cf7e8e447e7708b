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
import { placeTokens } from './token-places.ts';

export interface EncodeOptions extends ComputeOptions {
  /** int32 [batch, ordered]: token indices, those to encode first. Default: all tokens in grid order. */
  readonly order?: tf.Tensor;
  /** How many of `order` to encode, from its start. Default: all of them. */
  readonly visible?: number;
  /** How many views of each clip `order` has, one after the other, encoded apart from each other. Default 1. */
  readonly views?: number;
  /** Whether the final LayerNorm is applied, if the model has one. Default true. */
  readonly finalNorm?: boolean;
  /** Drop-path factors of each block, encoder.depth of them. */
  readonly scales?: readonly BranchScales[];
}

/**
 * patches [batch, tokens, patchValues] -> [batch, visible, width], in the order of `order`; with a class
 * token [batch, 1 + visible, width], the class token first, a distillation token second. Of several views
 * [batch * views, visible / views, width], those of a clip next to each other. The caller disposes the result.
 */
export function encode(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  patches: tf.Tensor,
  options: EncodeOptions = {},
): tf.Tensor3D {
  const { depth, heads, sharing, finalNorm } = config.encoder;
  const where = `encode: ${modality}.patches`;
  const tokens = tokenCount(config, modality);
  shapeOf(patches, '[batch, tokens, patchValues]', where, {
    tokens,
    patchValues: patchValues(config, modality),
  });
  const name = `${modality}_encoder`;
  const stack = sharing === 'shared' ? 'shared_encoder' : name;
  return tf.tidy(() => {
    const order = firstOf(options, `encode: ${modality}.order`);
    const kept = order === null ? patches : gatherTokens(patches, order);
    const embedded = applyEmbedding(parameters, `${name}.patch_embed`, kept, options);
    const placed = placeTokens(config, parameters, `${modality}_encoder`, embedded, order);
    let x = withClassTokens(config, parameters, name, splitViews(placed, options.views ?? 1));
    for (let i = 0; i < depth; i++) {
      const block = `${stack}.blocks.${i}`;
      const attention = { kind: 'self', heads } as const;
      x = applyBlock(config, parameters, block, x, attention, options, options.scales?.[i]);
    }
    if (!finalNorm || options.finalNorm === false) return x;
    return applyNorm(config, parameters, `${stack}.norm`, x);
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

/** Class and distillation tokens in front of the patches' tokens. */
export function classTokens(config: ModelConfig): number {
  const { classToken, distillationToken } = config.encoder;
  return Number(classToken) + Number(distillationToken);
}

/** The class tokens alone: [batch, class tokens + visible, width] -> [batch, class tokens, width]. */
export function onlyClassTokens(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor3D {
  return tf.slice(tokens, [0, 0, 0], [-1, classTokens(config), -1]);
}

/** The patches' tokens alone: [batch, class tokens + visible, width] -> [batch, visible, width]. */
export function withoutClassToken(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor3D {
  const count = classTokens(config);
  return count > 0 ? tf.slice(tokens, [0, count, 0], [-1, -1, -1]) : tokens;
}

/** Mean over the visible tokens, class token left out [MAViL §3.2]: [batch, tokens, width] -> [batch, width]. */
export function meanPool(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor2D {
  return tf.tidy(() => tf.mean<tf.Tensor2D>(withoutClassToken(config, tokens), 1));
}

function splitViews(x: tf.Tensor3D, views: number): tf.Tensor3D {
  const [batch, tokens, width] = x.shape;
  return views === 1 ? x : tf.reshape(x, [batch * views, tokens / views, width]);
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

function withClassTokens(
  config: ModelConfig,
  parameters: Parameters,
  name: string,
  x: tf.Tensor3D,
): tf.Tensor3D {
  const { classToken, distillationToken } = config.encoder;
  const [batch, , width] = x.shape;
  const inFront = [
    ...(classToken ? [`${name}.cls_token`] : []),
    ...(distillationToken ? [`${name}.dist_token`] : []),
  ].map((token) => tf.add<tf.Tensor3D>(tf.zeros([batch, 1, width]), weightOf(parameters, token)));
  return inFront.length === 0 ? x : tf.concat([...inFront, x], 1);
}
