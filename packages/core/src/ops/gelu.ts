// SPDX-License-Identifier: Apache-2.0
// gelu: x times the normal distribution function of x, the exact form with the error function:
// 0.5 x (1 + erf(x / sqrt 2)).
//
// Kernel DmGelu: x -> y of the same shape. Kernel DmGeluGrad: dy, x -> dx.
import * as tf from '@tensorflow/tfjs-core';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { geluOf, geluWithSlope } from './plain.ts';

const kernel = defineKernel<{ x: tf.Tensor }, object>({
  name: 'DmGelu',
  composed: ({ x }) => [geluOf(x)],
});

const gradKernel = defineKernel<{ dy: tf.Tensor; x: tf.Tensor }, object>({
  name: 'DmGeluGrad',
  composed: ({ dy, x }) => [tf.mul(dy, geluWithSlope(x).slope)],
});

defineGradient(kernel, {
  inputs: ['x'],
  gradient: (dy, { x }) => ({ x: output(runKernel(gradKernel, { dy, x }, {})) }),
});

/** Exact GELU of every element; x of any shape. */
export function gelu<T extends tf.Tensor>(x: T): T {
  return output(runKernel(kernel, { x }, {})) as T;
}

/** `gelu` in plain tfjs ops with tfjs's own gradient. */
export function geluReference<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.div(x, Math.SQRT2)), 1)));
}
