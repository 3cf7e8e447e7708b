// SPDX-License-Identifier: Apache-2.0
// linear: y = x · weightᵀ + bias, optionally through GELU. Weights in PyTorch's layout, [outWidth,
// inWidth].
//
// R rows (all axes of x but the last), K inWidth, C outWidth.
// Attributes: activation 'none' or 'gelu', precision, biased, inputGradient.
// Kernel DmLinear: x [..., K], weight [C, K], bias? [C] -> y [..., C], with gelu also preactivation
//   [..., C].
// Kernel DmLinearGrad: dy [..., C], x, weight, preactivation? -> dWeight [C, K], dBias [C] if
//   biased, dx if inputGradient.
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import {
  defineGradient,
  defineKernel,
  output,
  runKernel,
  type Kernel,
  type Precision,
} from './kernel.ts';
import { affine, asRows, columnSums, geluOf, geluWithSlope, productTN } from './plain.ts';

export interface LinearOptions {
  /** What follows the product; default none. */
  readonly activation?: 'gelu';
  /** Arithmetic of the product; default 'float32'. */
  readonly precision?: Precision;
  /**
   * Whether x may be differentiated; default true. False saves the product that computes its
   * gradient where x is data (patches): asking for that gradient then throws.
   */
  readonly inputGradient?: boolean;
}

/** Of DmLinear and DmLinearGrad. */
export interface LinearAttributes {
  readonly activation: 'none' | 'gelu';
  readonly precision: Precision;
  readonly biased: boolean;
  readonly inputGradient: boolean;
}

const kernel = defineKernel<
  { x: tf.Tensor; weight: tf.Tensor; bias: tf.Tensor | undefined },
  LinearAttributes
>({
  name: 'DmLinear',
  composed: ({ x, weight, bias }, { activation }) => {
    const shape = [...x.shape.slice(0, -1), weight.shape[0] ?? 1];
    const y = tf.reshape(affine(asRows(x), weight, bias ?? null), shape);
    return activation === 'gelu' ? [geluOf(y), y] : [y];
  },
});

/** DmLinearGrad, for ops that multiply by a weight as `linear` does. */
export const linearGradKernel: Kernel<
  { dy: tf.Tensor; x: tf.Tensor; weight: tf.Tensor; preactivation: tf.Tensor | undefined },
  LinearAttributes
> = defineKernel({
  name: 'DmLinearGrad',
  composed: ({ dy, x, weight, preactivation }, { biased, inputGradient }) => {
    const upstream =
      preactivation === undefined ? dy : tf.mul(dy, geluWithSlope(preactivation).slope);
    const rows = asRows(upstream);
    const gradients: tf.Tensor[] = [productTN(rows, asRows(x))];
    if (biased) gradients.push(columnSums(rows));
    if (inputGradient) {
      gradients.push(tf.reshape(tf.matMul(rows, weight as tf.Tensor2D), x.shape));
    }
    return gradients;
  },
});

defineGradient(kernel, {
  inputs: ['x', 'weight'],
  outputs: ['', 'preactivation'],
  gradient: (dy, { x, weight, preactivation }, attributes) => {
    const [dWeight, ...rest] = runKernel(
      linearGradKernel,
      { dy, x, weight, preactivation },
      attributes,
    );
    const bias = attributes.biased ? rest.shift() : undefined;
    return { x: rest[0], weight: dWeight, bias };
  },
});

/**
 * x · weightᵀ + bias.
 *
 * @param x [..., inWidth]
 * @param weight [outWidth, inWidth]
 * @param bias [outWidth], or null
 * @returns [..., outWidth]
 * @throws ShapeError when the widths differ. DeviceError for 'bfloat16' on a backend without native
 * kernels.
 */
export function linear(
  x: tf.Tensor,
  weight: tf.Tensor,
  bias: tf.Tensor | null,
  options: LinearOptions = {},
): tf.Tensor {
  checkShapes(x, weight, bias);
  const attributes: LinearAttributes = {
    activation: options.activation ?? 'none',
    precision: options.precision ?? 'float32',
    biased: bias !== null,
    inputGradient: options.inputGradient ?? true,
  };
  return tf.tidy(() =>
    output(runKernel(kernel, { x, weight, bias: bias ?? undefined }, attributes)),
  );
}

/**
 * `linear` in plain tfjs ops with tfjs's own gradient; `precision` and `inputGradient` have no
 * effect.
 */
export function linearReference(
  x: tf.Tensor,
  weight: tf.Tensor,
  bias: tf.Tensor | null,
  options: LinearOptions = {},
): tf.Tensor {
  checkShapes(x, weight, bias);
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, weight.shape[1] ?? 1]);
    const product = tf.matMul(rows, weight, false, true);
    const y = bias === null ? product : tf.add(product, bias);
    const shaped = tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[0] ?? 1]);
    if (options.activation !== 'gelu') return shaped;
    return tf.mul(tf.mul(shaped, 0.5), tf.add(tf.erf(tf.div(shaped, Math.SQRT2)), 1));
  });
}

function checkShapes(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | null): void {
  const { inWidth } = shapeOf(x, '[..., inWidth]', 'linear: x');
  const { outWidth } = shapeOf(weight, '[outWidth, inWidth]', 'linear: weight', { inWidth });
  if (bias !== null) shapeOf(bias, '[outWidth]', 'linear: bias', { outWidth });
}
