// SPDX-License-Identifier: Apache-2.0
// attention: softmax(query · keyᵀ / sqrt(headWidth)) · value by heads, for queries and keys of any
// lengths (self, cross), or within windows of a token grid with a cyclic shift and a learned
// relative position bias (Swin, arXiv 2103.14030 §3.2).
//
// B batch, Q queries, K keys, C width, H heads, D = C / H; [a, b] window.
// Attributes: heads, precision, and grid, size, shift: two numbers each, or none without windows.
// Kernel DmAttention: query [B, Q, C], key and value [B, K, C], relBias [(2a-1)(2b-1), H] or no
//   elements -> y [B, Q, C], and logSumExp of the scores in a layout of the backend's own (H * B *
//   Q numbers).
// Kernel DmAttentionGrad: dy [B, Q, C], query, key, value, relBias, y, logSumExp -> dQuery, dKey,
//   dValue, dRelBias if any.
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors.ts';
import { shapeOf } from '../shapes.ts';
import { attend, attendGrad, mergeHeads, reorderTokens, splitHeads } from './attention-core.ts';
import type { ScoreBias } from './attention-core.ts';
import {
  absent,
  defineGradient,
  defineKernel,
  isAbsent,
  output,
  runKernel,
  type Precision,
} from './kernel.ts';
import { asRows } from './plain.ts';
import { biasTableRows, windowPlan, type WindowOptions } from './windows.ts';

export interface AttentionOptions {
  /** Divides the width. */
  readonly heads: number;
  /**
   * Attention within windows of the grid; queries and keys are then the tokens of the grid,
   * row-major. Default none.
   */
  readonly window?: WindowOptions;
  /**
   * [(2a-1)(2b-1), heads], added to the scores of a window:
   * row (dr + a - 1)(2b - 1) + (dc + b - 1), d = query - key.
   */
  readonly relBias?: tf.Tensor | null;
  /** Default 'float32'. */
  readonly precision?: Precision;
}

/** Attributes of the window kernels: empty arrays when there are no windows. */
export interface WindowAttributes {
  readonly grid: readonly number[];
  readonly size: readonly number[];
  readonly shift: readonly number[];
}

interface Attributes extends WindowAttributes {
  readonly heads: number;
  readonly precision: Precision;
}

type Inputs = {
  readonly query: tf.Tensor;
  readonly key: tf.Tensor;
  readonly value: tf.Tensor;
  readonly relBias: tf.Tensor;
};

const kernel = defineKernel<Inputs, Attributes>({
  name: 'DmAttention',
  composed: ({ query, key, value, relBias }, attributes) => {
    const bias = scoreBias(attributes, relBias);
    const split = (x: tf.Tensor): tf.Tensor3D => toHeads(x, attributes.heads, bias);
    const attended = attend(split(query), split(key), split(value), bias);
    return [fromHeads(attended.output, query.shape, attributes.heads, bias), attended.logSumExp];
  },
});

const gradKernel = defineKernel<
  Inputs & { dy: tf.Tensor; y: tf.Tensor; logSumExp: tf.Tensor },
  Attributes
>({
  name: 'DmAttentionGrad',
  composed: ({ dy, query, key, value, relBias, y, logSumExp }, attributes) => {
    const { heads } = attributes;
    const bias = scoreBias(attributes, relBias);
    const split = (x: tf.Tensor): tf.Tensor3D => toHeads(x, heads, bias);
    const { dq, dk, dv, dTable } = attendGrad(
      split(dy),
      [split(query), split(key), split(value)],
      split(y),
      logSumExp as tf.Tensor3D,
      bias,
    );
    const gradients: tf.Tensor[] = [
      fromHeads(dq, query.shape, heads, bias),
      fromHeads(dk, key.shape, heads, bias),
      fromHeads(dv, value.shape, heads, bias),
    ];
    return dTable === null ? gradients : [...gradients, dTable];
  },
});

defineGradient(kernel, {
  inputs: ['query', 'key', 'value', 'relBias'],
  outputs: ['y', 'logSumExp'],
  gradient: (dy, saved, attributes) => {
    const [query, key, value, relBias] = runKernel(gradKernel, { dy, ...saved }, attributes);
    return { query, key, value, relBias };
  },
});

/**
 * Multi-head attention.
 *
 * @param query [batch, queries, width]
 * @param key [batch, keys, width]
 * @param value [batch, keys, width]
 * @returns [batch, queries, width]
 * @throws ShapeError when shapes disagree, heads do not divide the width, or the window does not
 * divide the grid.
 */
export function attention(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  options: AttentionOptions,
): tf.Tensor3D {
  checkShapes(query, key, value, options);
  const { heads, window, precision = 'float32' } = options;
  return tf.tidy(() => {
    const relBias = options.relBias ?? absent();
    const attributes = { heads, precision, ...windowAttributes(window) };
    return output(runKernel(kernel, { query, key, value, relBias }, attributes)) as tf.Tensor3D;
  });
}

/**
 * `attention` in plain tfjs ops with tfjs's own gradient; windows through rolled and masked scores
 * of the whole grid.
 */
export function attentionReference(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  options: AttentionOptions,
): tf.Tensor3D {
  const { batch, queries, width } = checkShapes(query, key, value, options);
  const { heads, window, relBias = null } = options;
  return tf.tidy(() => {
    const split = (x: tf.Tensor): tf.Tensor =>
      tf.transpose(tf.reshape(x, [batch, -1, heads, width / heads]), [0, 2, 1, 3]);
    const scaled = tf.div(split(query), Math.sqrt(width / heads));
    const raw = tf.matMul(scaled, split(key), false, true);
    const scores = window === undefined ? raw : biasedGridScores(raw, window, relBias);
    const mixed = tf.matMul(tf.softmax(scores), split(value));
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, queries, width]);
  });
}

/**
 * Scores [batch, heads, tokens, tokens] of a whole grid with the bias, -100 between regions and
 * -1e9 between windows.
 */
function biasedGridScores(
  scores: tf.Tensor,
  window: WindowOptions,
  relBias: tf.Tensor | null,
): tf.Tensor {
  const { windowTokens, inverse, mask, biasIndex } = windowPlan(window, 'attention');
  const tokens = inverse.length;
  const table = biasTableRows(window.size);
  const added = new Float32Array(tokens * tokens);
  const rows = new Int32Array(tokens * tokens);
  for (let i = 0; i < tokens * tokens; i++) {
    const [query, keyPlace] = [inverse[Math.floor(i / tokens)]!, inverse[i % tokens]!];
    const sameWindow = Math.floor(query / windowTokens) === Math.floor(keyPlace / windowTokens);
    const place = query * windowTokens + (keyPlace % windowTokens);
    added[i] = sameWindow ? (mask?.[place] ?? 0) : -1e9;
    rows[i] = biasIndex[place % (windowTokens * windowTokens)]!;
  }
  const masked = tf.add(scores, tf.tensor(added, [1, 1, tokens, tokens]));
  if (relBias === null) return masked;
  const perPair = tf.matMul(
    tf.cast(tf.oneHot(tf.tensor1d(rows, 'int32'), table), 'float32'),
    relBias,
  );
  const perHead = tf.transpose(tf.reshape(perPair, [tokens, tokens, -1]), [2, 0, 1]);
  return tf.add(masked, tf.expandDims(perHead, 0));
}

/** The window attributes of a kernel. */
export function windowAttributes(window: WindowOptions | undefined): WindowAttributes {
  if (window === undefined) return { grid: [], size: [], shift: [] };
  return { grid: [...window.grid], size: [...window.size], shift: [...window.shift] };
}

/** What a composed kernel adds to its scores, from its attributes and its relBias input. */
export function scoreBias(attributes: WindowAttributes, relBias: tf.Tensor): ScoreBias | null {
  const [rows, columns] = attributes.grid;
  const [a, b] = attributes.size;
  const [down, right] = attributes.shift;
  if (rows === undefined || columns === undefined) return null;
  const plan = windowPlan(
    { grid: [rows, columns], size: [a ?? 1, b ?? 1], shift: [down ?? 0, right ?? 0] },
    'attention',
  );
  return { plan, table: isAbsent(relBias) ? null : (relBias as tf.Tensor2D) };
}

/** [B, T, C] -> [H * B * windows, T / windows, D], in window order when there are windows. */
function toHeads(x: tf.Tensor, heads: number, bias: ScoreBias | null): tf.Tensor3D {
  const ordered = bias === null ? x : reorderTokens(x, bias.plan.order);
  const [batch, tokens, width] = x.shape as [number, number, number];
  const windows = bias?.plan.windows ?? 1;
  const headWidth = width / heads;
  return tf.reshape(splitHeads(asRows(ordered), headWidth), [
    heads * batch * windows,
    tokens / windows,
    headWidth,
  ]);
}

/** The inverse of `toHeads`. */
function fromHeads(
  x: tf.Tensor3D,
  shape: readonly number[],
  heads: number,
  bias: ScoreBias | null,
): tf.Tensor {
  const merged = tf.reshape(mergeHeads([x], heads), [...shape]);
  return bias === null ? merged : reorderTokens(merged, bias.plan.inverse);
}

function checkShapes(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  { heads, window, relBias = null }: AttentionOptions,
): { batch: number; queries: number; width: number } {
  const sizes = shapeOf(query, '[batch, queries, width]', 'attention: query');
  const { batch, width } = sizes;
  const { keys } = shapeOf(key, '[batch, keys, width]', 'attention: key', { batch, width });
  shapeOf(value, '[batch, keys, width]', 'attention: value', { batch, keys, width });
  checkHeads(width, heads, 'attention');
  if (window !== undefined) {
    checkWindow(window, [query, key], relBias, heads, 'attention');
  } else if (relBias !== null) {
    throw new ShapeError('attention: expected a window with relBias, got none');
  }
  return sizes;
}

/** @throws ShapeError unless heads is a positive integer that divides the width. */
export function checkHeads(width: number, heads: number, where: string): void {
  if (!(Number.isInteger(heads) && heads > 0) || width % heads !== 0) {
    throw new ShapeError(
      `${where}: expected heads that divide the width, got ${heads} heads and width ${width}`,
    );
  }
}

/**
 * @throws ShapeError unless the window divides the grid, the tokens are the grid's, and the table
 * fits the window.
 */
export function checkWindow(
  window: WindowOptions,
  tokens: readonly tf.Tensor[],
  relBias: tf.Tensor | null,
  heads: number,
  where: string,
): void {
  windowPlan(window, where);
  const [rows, columns] = window.grid;
  for (const { shape } of tokens) {
    if (shape[1] !== rows * columns) {
      throw new ShapeError(
        `${where}: expected ${rows * columns} tokens for grid [${rows}, ${columns}], got ${shape[1]}`,
      );
    }
  }
  if (relBias === null) return;
  const offsets = biasTableRows(window.size);
  shapeOf(relBias, '[offsets, heads]', `${where}: relBias`, { offsets, heads });
}
