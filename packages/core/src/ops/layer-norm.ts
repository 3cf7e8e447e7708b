// SPDX-License-Identifier: Apache-2.0
// layerNorm: (x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis, biased
// variance. [MAE §3] encoders and decoders use epsilon 1e-6.
//
// R rows (all axes but the last), C width.
// Attribute: epsilon (of DmLayerNorm).
// Kernel DmLayerNorm: x [..., C], weight [C], bias [C] -> y [..., C], mean [R, 1], rstd [R, 1].
// Kernel DmLayerNormGrad: dy [..., C], x, weight, mean, rstd -> dx [..., C], dWeight [C], dBias
//   [C].
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { asRows, normalizeRows, normalizeRowsGrad, standardize } from './plain.ts';

/** Scale and shift of a layer normalization, both [width]. */
export interface NormParameters {
  readonly weight: tf.Tensor;
  readonly bias: tf.Tensor;
}

export interface LayerNormOptions {
  /** Added to the variance; default 1e-6. */
  readonly epsilon?: number;
}

const kernel = defineKernel<
  { x: tf.Tensor; weight: tf.Tensor; bias: tf.Tensor },
  { readonly epsilon: number }
>({
  name: 'DmLayerNorm',
  composed: ({ x, weight, bias }, { epsilon }) => {
    const { y, mean, rstd } = normalizeRows(asRows(x), weight, bias, epsilon);
    return [tf.reshape(y, x.shape), mean, rstd];
  },
});

const gradKernel = defineKernel<
  { dy: tf.Tensor; x: tf.Tensor; weight: tf.Tensor; mean: tf.Tensor; rstd: tf.Tensor },
  object
>({
  name: 'DmLayerNormGrad',
  composed: ({ dy, x, weight, mean, rstd }) => {
    const standardized = standardize(asRows(x), mean, rstd);
    const { dx, dWeight, dBias } = normalizeRowsGrad(asRows(dy), standardized, rstd, weight);
    return [tf.reshape(dx, x.shape), dWeight, dBias];
  },
});

defineGradient(kernel, {
  inputs: ['x', 'weight'],
  outputs: ['', 'mean', 'rstd'],
  gradient: (dy, { x, weight, mean, rstd }) => {
    const [dx, dWeight, dBias] = runKernel(gradKernel, { dy, x, weight, mean, rstd }, {});
    return { x: dx, weight: dWeight, bias: dBias };
  },
});

/**
 * Layer normalization over the last axis.
 *
 * @param x [..., width]
 * @returns [..., width]
 * @throws ShapeError when weight or bias is not [width].
 */
export function layerNorm(
  x: tf.Tensor,
  parameters: NormParameters,
  options: LayerNormOptions = {},
): tf.Tensor {
  checkShapes(x, parameters);
  const { weight, bias } = parameters;
  const epsilon = options.epsilon ?? 1e-6;
  return tf.tidy(() => output(runKernel(kernel, { x, weight, bias }, { epsilon })));
}

/** `layerNorm` in plain tfjs ops with tfjs's own gradient. */
export function layerNormReference(
  x: tf.Tensor,
  parameters: NormParameters,
  options: LayerNormOptions = {},
): tf.Tensor {
  checkShapes(x, parameters);
  return tf.tidy(() => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    const standardized = tf.div(centred, tf.sqrt(tf.add(variance, options.epsilon ?? 1e-6)));
    return tf.add(tf.mul(standardized, parameters.weight), parameters.bias);
  });
}

function checkShapes(x: tf.Tensor, { weight, bias }: NormParameters): void {
  const { width } = shapeOf(x, '[..., width]', 'layerNorm: x');
  shapeOf(weight, '[width]', 'layerNorm: weight', { width });
  shapeOf(bias, '[width]', 'layerNorm: bias', { width });
}
