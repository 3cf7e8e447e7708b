// SPDX-License-Identifier: Apache-2.0
// dropPath: stochastic depth (arXiv 1603.09382): each sample's branch is multiplied by a factor of
// its own, 0 when dropped.
//
// Kernel DmDropPath: x [batch, ...], factor [batch] -> y of x's shape; its gradient is the kernel
//   itself.
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, ShapeError } from '../errors.ts';
import { uniforms, type Key } from '../random.ts';
import { formatShape, shapeOf } from '../shapes.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { scaleSamples } from './plain.ts';

const kernel = defineKernel<{ x: tf.Tensor; factor: tf.Tensor }, object>({
  name: 'DmDropPath',
  composed: ({ x, factor }) => [scaleSamples(x, factor)],
});

defineGradient(kernel, {
  inputs: ['factor'],
  gradient: (dy, { factor }) => ({ x: output(runKernel(kernel, { x: dy, factor }, {})) }),
});

/**
 * Each sample of x times its factor; the factor is not differentiated.
 *
 * @param x [batch, ...]
 * @param factor [batch], as from `dropPathFactors`
 * @returns as x
 * @throws ShapeError when the batches differ.
 */
export function dropPath(x: tf.Tensor, factor: tf.Tensor): tf.Tensor {
  checkShapes(x, factor);
  return output(runKernel(kernel, { x, factor }, {}));
}

/** `dropPath` in plain tfjs ops with tfjs's own gradient. */
export function dropPathReference(x: tf.Tensor, factor: tf.Tensor): tf.Tensor {
  checkShapes(x, factor);
  return tf.tidy(() => {
    const ones = Array.from(x.shape, () => 1).slice(1);
    return tf.mul(x, tf.reshape(factor, [-1, ...ones]));
  });
}

/**
 * Factors of a batch: 0 with probability `rate`, else 1 / (1 - rate), so that the expectation is 1.
 *
 * @param rate 0 <= rate < 1
 * @throws ConfigError when the rate is outside its range.
 */
export function dropPathFactors(key: Key, batch: number, rate: number): Float32Array {
  if (!(rate >= 0 && rate < 1)) {
    throw new ConfigError(`dropPathFactors: expected 0 <= rate < 1, got ${rate}`);
  }
  return uniforms(key, batch).map((uniform) => (uniform < rate ? 0 : 1 / (1 - rate)));
}

function checkShapes(x: tf.Tensor, factor: tf.Tensor): void {
  const [batch] = x.shape;
  if (batch === undefined) {
    throw new ShapeError(`dropPath: x: expected [batch, ...], got ${formatShape(x.shape)}`);
  }
  shapeOf(factor, '[batch]', 'dropPath: factor', { batch });
}
