// SPDX-License-Identifier: Apache-2.0
// AudioMAE's decoder block (Swin V2 as timm's CR variant has it): cosine attention inside shifted windows, a learned
// temperature per head, a position bias from an MLP over log-spaced offsets, and norms after the branches instead of
// before. Plain tfjs and core ops, so it runs and differentiates on every backend.
//
// B batch, T tokens, W windows, N tokens of a window, H heads, D head width, C width.
import { dropPath, gatherTokens, layerNorm, linear, windowPlan } from '@diffmavil/core';
import type { Precision, WindowOptions, WindowPlan } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

/** A weight and its bias. */
interface Affine {
  readonly weight: tf.Tensor;
  readonly bias: tf.Tensor;
}

/** Weights of one block. */
export interface CosineWindowWeights {
  readonly norm1: Affine;
  /** [3 C, C] and [3 C]: query, key, value. */
  readonly qkv: Affine;
  readonly proj: Affine;
  /** [H]; attention is divided by max(tau, 0.01). */
  readonly tau: tf.Tensor;
  /** [hidden, 2] and [hidden]. */
  readonly biasFc1: Affine;
  /** [H, hidden] and [H]. */
  readonly biasFc2: Affine;
  readonly norm2: Affine;
  readonly fc1: Affine;
  readonly fc2: Affine;
}

export interface CosineWindowOptions extends WindowOptions {
  readonly heads: number;
  readonly epsilon: number;
  readonly precision: Precision;
  /** Per-sample factors [batch] of the two branches, for drop path. */
  readonly scales?: { readonly attention: tf.Tensor; readonly mlp: tf.Tensor };
}

/** Hidden width of the MLP that makes the position bias. */
export const biasHidden = 384;

/** Products of norms and temperatures are kept above these. */
const smallestNorms = 1e-6;
const smallestTau = 0.01;
/** Added under the root of a norm, so that its gradient is finite at 0; far below float32's resolution elsewhere. */
const rootGuard = 1e-24;

/**
 * One block, post-norm: x += norm1(attention(x)), x += norm2(mlp(x)) [AudioMAE, decoder].
 *
 * @param x [batch, tokens, width], tokens row-major on the grid
 * @returns as x
 * @throws ShapeError when the window does not fit the grid.
 */
export function cosineWindowBlock(
  x: tf.Tensor3D,
  weights: CosineWindowWeights,
  options: CosineWindowOptions,
): tf.Tensor3D {
  const { epsilon, precision, scales } = options;
  return tf.tidy(() => {
    const attended = layerNorm(windowAttention(x, weights, options), weights.norm1, { epsilon });
    const mixed = tf.add(x, scales === undefined ? attended : dropPath(attended, scales.attention));
    const { fc1, fc2, norm2 } = weights;
    const hidden = linear(mixed, fc1.weight, fc1.bias, { activation: 'gelu', precision });
    const made = layerNorm(linear(hidden, fc2.weight, fc2.bias, { precision }), norm2, { epsilon });
    return tf.add(mixed, scales === undefined ? made : dropPath(made, scales.mlp)) as tf.Tensor3D;
  });
}

function windowAttention(
  x: tf.Tensor3D,
  weights: CosineWindowWeights,
  options: CosineWindowOptions,
): tf.Tensor3D {
  const [batch, tokens, width] = x.shape;
  const plan = windowPlan(options, 'cosineWindowBlock');
  const windows = gatherTokens(x, repeated(plan.order, batch));
  const [q, k, v] = [0, 1, 2].map((part) =>
    perHead(project(windows, weights.qkv, part, options), plan, options.heads),
  ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const scores = tf.div(cosines(q, k), temperatures(weights.tau));
  const biased = tf.add(scores, positionBias(weights, options.size, options.heads));
  const probabilities = tf.softmax(masked(biased, plan));
  // [B W, H, N, D] -> [B, T, C]
  const merged = tf.transpose(tf.matMul(probabilities, v), [0, 2, 1, 3]);
  const mixed = tf.reshape<tf.Rank.R3>(merged, [batch, tokens, width]);
  const { proj } = weights;
  const projected = linear(mixed, proj.weight, proj.bias, { precision: options.precision });
  return gatherTokens(projected, repeated(plan.inverse, batch));
}

/** Query, key or value (part 0, 1, 2) of x [B, T, C]: [B, T, C]. */
function project(
  x: tf.Tensor3D,
  { weight, bias }: Affine,
  part: number,
  { precision }: CosineWindowOptions,
): tf.Tensor {
  const width = x.shape[2];
  const rows = tf.slice(weight, [part * width, 0], [width, -1]);
  return linear(x, rows, tf.slice(bias, [part * width], [width]), { precision });
}

/** [B, T, C] in window order -> [B W, H, N, D]. */
function perHead(x: tf.Tensor, { windowTokens }: WindowPlan, heads: number): tf.Tensor4D {
  const width = x.shape[2] ?? 0;
  const split = tf.reshape<tf.Rank.R4>(x, [-1, windowTokens, heads, width / heads]);
  return tf.transpose(split, [0, 2, 1, 3]);
}

/** q . k / max(|q| |k|, 1e-6): [B W, H, N, N]. */
function cosines(q: tf.Tensor4D, k: tf.Tensor4D): tf.Tensor4D {
  const norms = tf.matMul(normOf(q), normOf(k), false, true);
  return tf.div(tf.matMul(q, k, false, true), tf.maximum(norms, smallestNorms));
}

function normOf(x: tf.Tensor4D): tf.Tensor4D {
  return tf.sqrt(tf.add(tf.sum(tf.square(x), 3, true), rootGuard));
}

function temperatures(tau: tf.Tensor): tf.Tensor {
  return tf.reshape(tf.maximum(tau, smallestTau), [1, -1, 1, 1]);
}

/** fc2(relu(fc1(offsets))) of every (query, key) of a window: [1, H, N, N]. */
function positionBias(
  { biasFc1, biasFc2 }: CosineWindowWeights,
  size: readonly [number, number],
  heads: number,
): tf.Tensor4D {
  const tokens = size[0] * size[1];
  const offsets = tf.tensor2d(logOffsets(size), [tokens * tokens, 2]);
  const hidden = tf.relu(linear(offsets, biasFc1.weight, biasFc1.bias));
  const bias = linear(hidden, biasFc2.weight, biasFc2.bias);
  return tf.reshape<tf.Rank.R4>(tf.transpose(bias), [1, heads, tokens, tokens]);
}

/** sign(d) ln(1 + |d|) of the row and column offsets d = query - key: [N * N, 2]. */
function logOffsets([rows, columns]: readonly [number, number]): Float32Array {
  const tokens = rows * columns;
  return Float32Array.from({ length: 2 * tokens * tokens }, (_, i) => {
    const [query, key] = [Math.floor(i / 2 / tokens), Math.floor(i / 2) % tokens];
    const row = Math.floor(query / columns) - Math.floor(key / columns);
    const column = (query % columns) - (key % columns);
    const offset = i % 2 === 0 ? row : column;
    return Math.sign(offset) * Math.log1p(Math.abs(offset));
  });
}

/** -100 between tokens that only the shift made neighbours. */
function masked(scores: tf.Tensor, { mask, windows, windowTokens }: WindowPlan): tf.Tensor4D {
  if (mask === null) return scores as tf.Tensor4D;
  const [all = 0, heads = 1] = scores.shape;
  const perWindow = tf.tensor(mask, [1, windows, 1, windowTokens, windowTokens]);
  const grouped = tf.reshape(scores, [all / windows, windows, heads, windowTokens, windowTokens]);
  return tf.reshape<tf.Rank.R4>(tf.add(grouped, perWindow), [
    all,
    heads,
    windowTokens,
    windowTokens,
  ]);
}

/** The same indices for each sample: int32 [batch, indices]. */
function repeated(indices: Int32Array, batch: number): tf.Tensor2D {
  return tf.tile(tf.tensor2d(indices, [1, indices.length], 'int32'), [batch, 1]);
}
