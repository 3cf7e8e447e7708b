// SPDX-License-Identifier: Apache-2.0
// Softmax attention of the composed kernels, on tensors that have the heads first, and the moves of
// heads and windows around it. The backward pass recomputes the probabilities from q, k and the
// log-sum-exp of the scores.
//
// H heads, B batch (or batch * windows), T tokens, Q queries, K keys, D head width, N = Q = K
// tokens of a window. Heads first means [H * B, T, D]; a projection of several parts (q, k, v)
// stacks parts before heads: [parts * H * B, T, D].
import * as tf from '@tensorflow/tfjs-core';
import { affine, asRows, productNT, productTN, spread } from './plain.ts';
import type { WindowPlan } from './windows.ts';

/** What is added to the scores: a learned bias by head, and a constant mask by window. */
export interface ScoreBias {
  readonly plan: WindowPlan;
  /** [(2a - 1)(2b - 1), H], or null for the mask alone. */
  readonly table: tf.Tensor2D | null;
}

/** q [H*B, Q, D], k and v [H*B, K, D] -> output [H*B, Q, D], logSumExp [H*B, Q, 1]. */
export function attend(
  q: tf.Tensor3D,
  k: tf.Tensor3D,
  v: tf.Tensor3D,
  bias: ScoreBias | null,
): { output: tf.Tensor3D; logSumExp: tf.Tensor3D } {
  const [, , width] = q.shape;
  const scaled: tf.Tensor3D = tf.mul(q, 1 / Math.sqrt(width));
  const raw: tf.Tensor3D = tf.matMul(scaled, k, false, true);
  const scores = bias === null ? raw : addBias(raw, bias);
  const rows = asRows(scores);
  const max = tf.max(rows, 1, true);
  const weights = tf.exp(tf.sub(rows, spread(max, rows.shape[1])));
  const sums = tf.sum(weights, 1, true);
  const mixed = tf.matMul(tf.reshape(weights, scores.shape), v);
  return {
    output: tf.mul(mixed, tf.reshape(spread(tf.reciprocal(sums), width), mixed.shape)),
    logSumExp: tf.reshape(tf.add(max, tf.log(sums)), [q.shape[0], q.shape[1], 1]),
  };
}

/** Gradients of `attend`; dTable is [(2a - 1)(2b - 1), H]. */
export function attendGrad(
  dOutput: tf.Tensor3D,
  [q, k, v]: readonly [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D],
  output: tf.Tensor3D,
  logSumExp: tf.Tensor3D,
  bias: ScoreBias | null,
): { dq: tf.Tensor3D; dk: tf.Tensor3D; dv: tf.Tensor3D; dTable: tf.Tensor2D | null } {
  const scale = 1 / Math.sqrt(q.shape[2]);
  const scaled: tf.Tensor3D = tf.mul(q, scale);
  const ones: tf.Tensor3D = tf.ones([k.shape[0], k.shape[1], 1]);
  // scores - logSumExp and dOutput · v - delta, each as one product with a column more on both
  // sides.
  const logits = productWithColumn(scaled, tf.neg<tf.Tensor3D>(logSumExp), k, ones);
  const probabilities = tf.exp(bias === null ? logits : addBias(logits, bias));
  const delta: tf.Tensor3D = tf.sum(tf.mul(dOutput, output), 2, true);
  const centred = productWithColumn(dOutput, tf.neg(delta), v, ones);
  const dScores: tf.Tensor3D = tf.mul(probabilities, centred);
  const { plan, table } = bias ?? { plan: null, table: null };
  return {
    dq: tf.mul(tf.matMul(dScores, k), scale),
    dk: tf.matMul(dScores, scaled, true),
    dv: tf.matMul(probabilities, dOutput, true),
    dTable: plan === null || table === null ? null : tableGrad(dScores, plan, table),
  };
}

function productWithColumn(
  a: tf.Tensor3D,
  column: tf.Tensor3D,
  b: tf.Tensor3D,
  ones: tf.Tensor3D,
): tf.Tensor3D {
  return tf.matMul(
    tf.concat<tf.Tensor3D>([a, column], 2),
    tf.concat<tf.Tensor3D>([b, ones], 2),
    false,
    true,
  );
}

function addBias(scores: tf.Tensor3D, { plan, table }: ScoreBias): tf.Tensor3D {
  const biased = table === null ? scores : addTable(scores, plan, table);
  if (plan.mask === null) return biased;
  const masked = tf.add(tf.reshape(biased, [-1, plan.mask.length]), tf.tensor1d(plan.mask));
  return tf.reshape(masked, scores.shape);
}

function addTable(scores: tf.Tensor3D, plan: WindowPlan, table: tf.Tensor2D): tf.Tensor3D {
  const [rows, heads] = table.shape;
  const oneHot = tf.tensor2d(plan.biasOneHot, [rows, plan.biasOneHot.length / rows]);
  const perHead = tf.reshape(productTN(table, oneHot), [heads, 1, -1]);
  const copies = scores.shape[0] / heads;
  const repeated = tf.matMul(tf.ones([1, copies, 1]), perHead);
  return tf.add(scores, tf.reshape(repeated, scores.shape));
}

function tableGrad(dScores: tf.Tensor3D, plan: WindowPlan, table: tf.Tensor2D): tf.Tensor2D {
  const [rows, heads] = table.shape;
  const pairs = plan.biasOneHot.length / rows;
  const copies = dScores.shape[0] / heads;
  const perCopy = tf.reshape(dScores, [heads, copies, pairs]);
  const perHead = tf.matMul(tf.ones([1, 1, copies]), perCopy);
  const oneHot = tf.tensor2d(plan.biasOneHot, [rows, pairs]);
  return productNT(oneHot, tf.reshape(perHead, [heads, pairs]));
}

/** x [B*T, C] times weight [parts*C, C] transposed plus bias, heads first: [parts*H, B*T, D]. */
export function projectToHeads(
  x: tf.Tensor2D,
  weight: tf.Tensor,
  bias: tf.Tensor,
  headWidth: number,
): tf.Tensor3D {
  const [outWidth, inWidth] = weight.shape as [number, number];
  const stacked = outWidth / headWidth;
  // A transpose costs tfjs's cpu backend more than the product: there each head multiplies by rows
  // of its own, at no more cost.
  if (tf.getBackend() !== 'cpu') return splitHeads(affine(x, weight, bias), headWidth);
  const rows = tf.concat([x, tf.ones([x.shape[0], 1])], 1);
  const columns = tf.concat([weight, tf.reshape(bias, [-1, 1])], 1);
  return tf.matMul<tf.Tensor3D>(
    tf.reshape(rows, [1, -1, inWidth + 1]),
    tf.reshape(columns, [stacked, headWidth, inWidth + 1]),
    false,
    true,
  );
}

/**
 * dy [B*T, C] times weight [C, C], heads first: the gradient of what was merged and projected by
 * `weight`.
 */
export function projectGradToHeads(
  dy: tf.Tensor2D,
  weight: tf.Tensor,
  headWidth: number,
): tf.Tensor3D {
  const [outWidth, inWidth] = weight.shape as [number, number];
  if (tf.getBackend() !== 'cpu') return splitHeads(tf.matMul(dy, weight), headWidth);
  const columns = tf.reshape(tf.transpose(weight), [inWidth / headWidth, headWidth, outWidth]);
  const rows = tf.reshape(dy, [1, -1, outWidth]);
  return tf.matMul<tf.Tensor3D>(rows, columns, false, true);
}

/** [R, parts*H*D] -> [parts*H, R, D]. */
export function splitHeads(x: tf.Tensor2D, headWidth: number): tf.Tensor3D {
  const [rows, columns] = x.shape;
  return tf.transpose<tf.Tensor3D>(
    tf.reshape(x, [rows, columns / headWidth, headWidth]),
    [1, 0, 2],
  );
}

/** Parts of [H*B, T, D] each -> [B*T, parts*H*D], the inverse of `splitHeads` on their stack. */
export function mergeHeads(parts: readonly tf.Tensor[], heads: number): tf.Tensor2D {
  const byHead = parts.map((part) => {
    const width = part.shape[part.shape.length - 1] ?? 1;
    return tf.reshape<tf.Rank.R3>(part, [heads, part.size / (heads * width), width]);
  });
  if (tf.getBackend() === 'cpu') {
    return asRows(
      tf.concat(
        byHead.flatMap((part) => tf.split(part, heads, 0)),
        2,
      ),
    );
  }
  const stack = byHead.length === 1 && byHead[0] ? byHead[0] : tf.concat(byHead, 0);
  const [stacked, rows, width] = stack.shape;
  return tf.reshape(tf.transpose(stack, [1, 0, 2]), [rows, stacked * width]);
}

/** x [batch, tokens, width] with the tokens of the grid in window order, or back. */
export function reorderTokens(x: tf.Tensor, order: Int32Array): tf.Tensor3D {
  return tf.gather(x as tf.Tensor3D, tf.tensor1d(order, 'int32'), 1);
}
