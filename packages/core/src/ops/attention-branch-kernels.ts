// SPDX-License-Identifier: Apache-2.0
// The kernels of attentionBranch and their composed versions.
//
// B batch, T tokens, K context tokens, C width, H heads, R = B * T rows; [a, b] window.
// Attributes: kind 'self', 'window' or 'cross', heads, epsilon, precision, and grid, size, shift:
// two numbers each, or none.
// Kernel DmAttentionBranch: x [B, T, C], normWeight [C], normBias [C], qWeight [3C, C] (q, k, v
//   rows; cross: [C, C]), qBias, projWeight [C, C], projBias [C]; cross: context [B, K, C],
//   kvWeight [2C, C], kvBias [2C]; window: relBias [(2a-1)(2b-1), H]; branchScale [B]. Absent ones
//   of context, kvWeight, relBias, branchScale have no elements, kvBias no key. -> y [B, T, C];
//   saved, in a layout of the backend's own: mean and rstd (R numbers each), attended (R * C),
//   logSumExp (H * R), projected (q, k, v: 3 * R * C; cross: q alone), and for cross
//   projectedContext (k, v: 2 * B * K * C).
// Kernel DmAttentionBranchGrad: dy [B, T, C] and the saved inputs and outputs -> dx, dNormWeight,
//   dNormBias, dQWeight, dQBias, dProjWeight, dProjBias, then dRelBias (window) or dKvWeight,
//   dKvBias, dContext (cross).
import * as tf from '@tensorflow/tfjs-core';
import {
  attend,
  attendGrad,
  mergeHeads,
  projectGradToHeads,
  projectToHeads,
  reorderTokens,
} from './attention-core.ts';
import type { ScoreBias } from './attention-core.ts';
import { scoreBias, type WindowAttributes } from './attention.ts';
import {
  defineGradient,
  defineKernel,
  isAbsent,
  runKernel,
  type Kernel,
  type Precision,
} from './kernel.ts';
import {
  affine,
  asRows,
  columnSums,
  normalizeRows,
  normalizeRowsGrad,
  productTN,
  scaleSamples,
  standardize,
} from './plain.ts';

export interface AttentionBranchAttributes extends WindowAttributes {
  readonly kind: 'self' | 'window' | 'cross';
  readonly heads: number;
  readonly epsilon: number;
  readonly precision: Precision;
}

type SavedInputs = {
  readonly x: tf.Tensor;
  readonly normWeight: tf.Tensor;
  readonly normBias: tf.Tensor;
  readonly qWeight: tf.Tensor;
  readonly projWeight: tf.Tensor;
  readonly context: tf.Tensor;
  readonly kvWeight: tf.Tensor;
  readonly relBias: tf.Tensor;
  readonly branchScale: tf.Tensor;
};

export type AttentionBranchInputs = SavedInputs & {
  readonly qBias: tf.Tensor;
  readonly projBias: tf.Tensor;
  readonly kvBias: tf.Tensor | undefined;
};

type GradInputs = SavedInputs & {
  readonly dy: tf.Tensor;
  readonly mean: tf.Tensor;
  readonly rstd: tf.Tensor;
  readonly attended: tf.Tensor;
  readonly logSumExp: tf.Tensor;
  readonly projected: tf.Tensor;
  readonly projectedContext: tf.Tensor | undefined;
};

export const attentionBranchKernel: Kernel<AttentionBranchInputs, AttentionBranchAttributes> =
  defineKernel({
    name: 'DmAttentionBranch',
    composed: (inputs: AttentionBranchInputs, attributes: AttentionBranchAttributes) => {
      const { x, normWeight, normBias, qWeight, qBias, branchScale } = inputs;
      const bias = scoreBias(attributes, inputs.relBias);
      const { heads, headWidth, rowsOf } = layout(x, attributes, bias);
      const { y, mean, rstd } = normalizeRows(rowsOf(x), normWeight, normBias, attributes.epsilon);
      const projected = projectToHeads(y, qWeight, qBias, headWidth);
      const saved: tf.Tensor[] = [projected];
      if (inputs.kvBias !== undefined) {
        const context = asRows(inputs.context);
        saved.push(projectToHeads(context, inputs.kvWeight, inputs.kvBias, headWidth));
      }
      const [q, k, v] = parts(saved, attributes, sequences(x, bias));
      const { output: attended, logSumExp } = attend(q, k, v, bias);
      const branch = affine(mergeHeads([attended], heads), inputs.projWeight, inputs.projBias);
      const tokens = tokensOf(branch, x, bias);
      const scaled = isAbsent(branchScale) ? tokens : scaleSamples(tokens, branchScale);
      return [tf.add(x, scaled), mean, rstd, attended, logSumExp, ...saved];
    },
  });

const gradKernel = defineKernel<GradInputs, AttentionBranchAttributes>({
  name: 'DmAttentionBranchGrad',
  composed: (inputs, attributes) => {
    const { dy, x, normWeight, normBias, qWeight, projWeight, rstd, branchScale } = inputs;
    const bias = scoreBias(attributes, inputs.relBias);
    const { heads, headWidth, rowsOf } = layout(x, attributes, bias);
    const dBranch = rowsOf(isAbsent(branchScale) ? dy : scaleSamples(dy, branchScale));
    const dAttended = projectGradToHeads(dBranch, projWeight, headWidth);
    const saved = [inputs.projected, inputs.projectedContext].filter((part) => part !== undefined);
    const qkv = parts(saved, attributes, sequences(x, bias));
    const attended = inputs.attended as tf.Tensor3D;
    const { dq, dk, dv, dTable } = attendGrad(
      tf.reshape(dAttended, attended.shape),
      qkv,
      attended,
      inputs.logSumExp as tf.Tensor3D,
      bias,
    );
    const standardized = standardize(rowsOf(x), inputs.mean, rstd);
    const normed: tf.Tensor2D = tf.add(tf.mul(standardized, normWeight), normBias);
    const cross = attributes.kind === 'cross';
    const dProjected = mergeHeads(cross ? [dq] : [dq, dk, dv], heads);
    const dNormed: tf.Tensor2D = tf.matMul(dProjected, qWeight);
    const norm = normalizeRowsGrad(dNormed, standardized, rstd, normWeight);
    const gradients: tf.Tensor[] = [
      tf.add(dy, tokensOf(norm.dx, x, bias)),
      norm.dWeight,
      norm.dBias,
      productTN(dProjected, normed),
      columnSums(dProjected),
      productTN(dBranch, mergeHeads([attended], heads)),
      columnSums(dBranch),
    ];
    if (cross) gradients.push(...contextGrads(mergeHeads([dk, dv], heads), inputs));
    return dTable === null ? gradients : [...gradients, dTable];
  },
});

defineGradient(attentionBranchKernel, {
  inputs: [
    'x',
    'normWeight',
    'normBias',
    'qWeight',
    'projWeight',
    'context',
    'kvWeight',
    'relBias',
    'branchScale',
  ],
  outputs: ['', 'mean', 'rstd', 'attended', 'logSumExp', 'projected', 'projectedContext'],
  gradient: (dy, saved, attributes) => {
    const [x, normWeight, normBias, qWeight, qBias, projWeight, projBias, ...rest] = runKernel(
      gradKernel,
      { dy, ...saved },
      attributes,
    );
    const common = { x, normWeight, normBias, qWeight, qBias, projWeight, projBias };
    if (attributes.kind !== 'cross') return { ...common, relBias: rest[0] };
    return { ...common, kvWeight: rest[0], kvBias: rest[1], context: rest[2] };
  },
});

/** How the rows of x are laid out: by token, or by window and token. */
function layout(
  x: tf.Tensor,
  { heads }: AttentionBranchAttributes,
  bias: ScoreBias | null,
): { heads: number; headWidth: number; rowsOf: (tokens: tf.Tensor) => tf.Tensor2D } {
  return {
    heads,
    headWidth: (x.shape[2] ?? 1) / heads,
    rowsOf: (tokens) => asRows(bias === null ? tokens : reorderTokens(tokens, bias.plan.order)),
  };
}

/** Sequences that attend within themselves: the batch, or its windows. */
function sequences(x: tf.Tensor, bias: ScoreBias | null): number {
  return (x.shape[0] ?? 1) * (bias?.plan.windows ?? 1);
}

/** The inverse of `rowsOf`. */
function tokensOf(rows: tf.Tensor2D, x: tf.Tensor, bias: ScoreBias | null): tf.Tensor {
  const tokens = tf.reshape(rows, x.shape);
  return bias === null ? tokens : reorderTokens(tokens, bias.plan.inverse);
}

/**
 * q, k and v [heads * sequences, tokens, headWidth] from one projection of three parts, or from q
 * and one of two.
 */
function parts(
  projections: readonly tf.Tensor[],
  { heads }: AttentionBranchAttributes,
  sequenceCount: number,
): [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D] {
  const pieces = projections.flatMap((projection) => {
    const count = (projection.shape[0] ?? heads) / heads;
    return count === 1 ? [projection] : tf.split(projection, count, 0);
  });
  const [q, k, v] = pieces.map((piece) => {
    const width = piece.shape[2] ?? 1;
    return tf.reshape<tf.Rank.R3>(piece, [heads * sequenceCount, -1, width]);
  });
  if (q === undefined || k === undefined || v === undefined) throw new Error('expected q, k and v');
  return [q, k, v];
}

/** dKvWeight, dKvBias and dContext from the gradients of the projected context [B*K, 2C]. */
function contextGrads(
  dProjected: tf.Tensor2D,
  { context, kvWeight }: { context: tf.Tensor; kvWeight: tf.Tensor },
): tf.Tensor[] {
  const dContext = tf.matMul(dProjected, kvWeight);
  return [
    productTN(dProjected, asRows(context)),
    columnSums(dProjected),
    tf.reshape(dContext, context.shape),
  ];
}
