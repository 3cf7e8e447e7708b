// SPDX-License-Identifier: Apache-2.0
// mlpBranch: x + branchScale * fc2(gelu(fc1(layerNorm(x)))), the second half of a pre-norm
// transformer block, as one kernel forward and one backward. [MAE §3]
//
// B batch, T tokens, C width, M hidden width, R = B * T rows.
// Attributes: epsilon, precision.
// Kernel DmMlpBranch: x [B, T, C], normWeight [C], normBias [C], fc1Weight [M, C], fc1Bias [M],
//   fc2Weight [C, M], fc2Bias [C], branchScale [B] or no elements -> y [B, T, C]; saved, in a
//   layout of the backend's own: mean and rstd (R numbers each), preactivation of fc1 (R * M).
// Kernel DmMlpBranchGrad: dy [B, T, C] and the saved inputs and outputs -> dx, dNormWeight,
//   dNormBias, dFc1Weight, dFc1Bias, dFc2Weight, dFc2Bias.
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import type { LinearParameters } from './attention-branch.ts';
import { dropPathReference } from './drop-path.ts';
import {
  absent,
  defineGradient,
  defineKernel,
  isAbsent,
  output,
  runKernel,
  type Precision,
} from './kernel.ts';
import { layerNormReference, type NormParameters } from './layer-norm.ts';
import { linearReference } from './linear.ts';
import {
  affine,
  asRows,
  columnSums,
  geluOf,
  geluWithSlope,
  normalizeRows,
  normalizeRowsGrad,
  productTN,
  scaleSamples,
  standardize,
} from './plain.ts';

export interface MlpBranchParameters {
  readonly norm: NormParameters;
  /** [hidden, width]. */
  readonly fc1: LinearParameters;
  /** [width, hidden]. */
  readonly fc2: LinearParameters;
}

export interface MlpBranchOptions {
  /** Of the layer normalization; default 1e-6. */
  readonly epsilon?: number;
  /**
   * [batch]: factor of each sample's branch (stochastic depth: 0 drops it). Not differentiated.
   * Default none.
   */
  readonly branchScale?: tf.Tensor | null;
  /** Default 'float32'. */
  readonly precision?: Precision;
}

interface Attributes {
  readonly epsilon: number;
  readonly precision: Precision;
}

type SavedInputs = {
  readonly x: tf.Tensor;
  readonly normWeight: tf.Tensor;
  readonly normBias: tf.Tensor;
  readonly fc1Weight: tf.Tensor;
  readonly fc2Weight: tf.Tensor;
  readonly branchScale: tf.Tensor;
};

const kernel = defineKernel<
  SavedInputs & { readonly fc1Bias: tf.Tensor; readonly fc2Bias: tf.Tensor },
  Attributes
>({
  name: 'DmMlpBranch',
  composed: (inputs, { epsilon }) => {
    const { x, normWeight, normBias, branchScale } = inputs;
    const { y, mean, rstd } = normalizeRows(asRows(x), normWeight, normBias, epsilon);
    const preactivation = affine(y, inputs.fc1Weight, inputs.fc1Bias);
    const rows = affine(geluOf(preactivation), inputs.fc2Weight, inputs.fc2Bias);
    const branch = tf.reshape(rows, x.shape);
    const scaled = isAbsent(branchScale) ? branch : scaleSamples(branch, branchScale);
    return [tf.add(x, scaled), mean, rstd, preactivation];
  },
});

const gradKernel = defineKernel<
  SavedInputs & {
    readonly dy: tf.Tensor;
    readonly mean: tf.Tensor;
    readonly rstd: tf.Tensor;
    readonly preactivation: tf.Tensor;
  },
  Attributes
>({
  name: 'DmMlpBranchGrad',
  composed: (inputs) => {
    const { dy, x, normWeight, normBias, fc1Weight, fc2Weight, rstd, branchScale } = inputs;
    const dBranch = asRows(isAbsent(branchScale) ? dy : scaleSamples(dy, branchScale));
    const { value: hidden, slope } = geluWithSlope(inputs.preactivation as tf.Tensor2D);
    const dHidden = tf.matMul(dBranch, fc2Weight);
    const dPreactivation: tf.Tensor2D = tf.mul(dHidden, slope);
    const standardized = standardize(asRows(x), inputs.mean, rstd);
    const normed: tf.Tensor2D = tf.add(tf.mul(standardized, normWeight), normBias);
    const dNormed: tf.Tensor2D = tf.matMul(dPreactivation, fc1Weight);
    const norm = normalizeRowsGrad(dNormed, standardized, rstd, normWeight);
    return [
      tf.add(dy, tf.reshape(norm.dx, dy.shape)),
      norm.dWeight,
      norm.dBias,
      productTN(dPreactivation, normed),
      columnSums(dPreactivation),
      productTN(dBranch, hidden),
      columnSums(dBranch),
    ];
  },
});

defineGradient(kernel, {
  inputs: ['x', 'normWeight', 'normBias', 'fc1Weight', 'fc2Weight', 'branchScale'],
  outputs: ['', 'mean', 'rstd', 'preactivation'],
  gradient: (dy, saved, attributes) => {
    const [x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias] = runKernel(
      gradKernel,
      { dy, ...saved },
      attributes,
    );
    return { x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias };
  },
});

/**
 * x plus its MLP branch.
 *
 * @param x [batch, tokens, width]
 * @returns [batch, tokens, width]
 * @throws ShapeError when shapes disagree.
 */
export function mlpBranch(
  x: tf.Tensor,
  parameters: MlpBranchParameters,
  options: MlpBranchOptions = {},
): tf.Tensor3D {
  checkShapes(x, parameters, options);
  const { norm, fc1, fc2 } = parameters;
  const { epsilon = 1e-6, precision = 'float32' } = options;
  return tf.tidy(() => {
    const inputs = {
      x,
      normWeight: norm.weight,
      normBias: norm.bias,
      fc1Weight: fc1.weight,
      fc1Bias: fc1.bias,
      fc2Weight: fc2.weight,
      fc2Bias: fc2.bias,
      branchScale: options.branchScale ?? absent(),
    };
    return output(runKernel(kernel, inputs, { epsilon, precision })) as tf.Tensor3D;
  });
}

/** `mlpBranch` from the reference twins of the small ops, with tfjs's own gradient. */
export function mlpBranchReference(
  x: tf.Tensor,
  parameters: MlpBranchParameters,
  options: MlpBranchOptions = {},
): tf.Tensor3D {
  checkShapes(x, parameters, options);
  const { norm, fc1, fc2 } = parameters;
  const { epsilon = 1e-6, branchScale = null } = options;
  return tf.tidy(() => {
    const normed = layerNormReference(x, norm, { epsilon });
    const hidden = linearReference(normed, fc1.weight, fc1.bias, { activation: 'gelu' });
    const branch = linearReference(hidden, fc2.weight, fc2.bias);
    const scaled = branchScale === null ? branch : dropPathReference(branch, branchScale);
    return tf.add<tf.Tensor3D>(x, scaled);
  });
}

function checkShapes(
  x: tf.Tensor,
  { norm, fc1, fc2 }: MlpBranchParameters,
  { branchScale = null }: MlpBranchOptions,
): void {
  const { batch, width } = shapeOf(x, '[batch, tokens, width]', 'mlpBranch: x');
  shapeOf(norm.weight, '[width]', 'mlpBranch: norm.weight', { width });
  shapeOf(norm.bias, '[width]', 'mlpBranch: norm.bias', { width });
  const { hidden } = shapeOf(fc1.weight, '[hidden, width]', 'mlpBranch: fc1.weight', { width });
  shapeOf(fc1.bias, '[hidden]', 'mlpBranch: fc1.bias', { hidden });
  shapeOf(fc2.weight, '[width, hidden]', 'mlpBranch: fc2.weight', { width, hidden });
  shapeOf(fc2.bias, '[width]', 'mlpBranch: fc2.bias', { width });
  if (branchScale !== null) shapeOf(branchScale, '[batch]', 'mlpBranch: branchScale', { batch });
}
