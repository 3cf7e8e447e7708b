// SPDX-License-Identifier: Apache-2.0
// globalNorm: the Euclidean norm of all values of all tensors, as one call. Not differentiated.
//
// Kernel DmGlobalNorm: tensors by their place ('0', '1', …), any shapes -> norm [].
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel, output, runKernel } from './kernel.ts';
import { asRows } from './plain.ts';

const kernel = defineKernel<Readonly<Record<string, tf.Tensor>>, object>({
  name: 'DmGlobalNorm',
  composed: (inputs) => {
    // By rows first: float32 sums of backends that add one by one stay short.
    const squares = Object.values(inputs).map((x) => tf.sum(tf.sum(tf.square(asRows(x)), 1)));
    return [tf.sqrt(squares.length === 0 ? tf.scalar(0) : tf.sum(tf.stack(squares)))];
  },
});

/** The norm over all tensors of a record; 0 for none. */
export function globalNorm(tensors: Readonly<Record<string, tf.Tensor>>): tf.Scalar {
  const inputs = Object.fromEntries(Object.values(tensors).map((x, i) => [String(i), x]));
  return output(runKernel(kernel, inputs, {})) as tf.Scalar;
}

/** `globalNorm` in plain tfjs ops. */
export function globalNormReference(tensors: Readonly<Record<string, tf.Tensor>>): tf.Scalar {
  return tf.tidy(() => {
    const all = Object.values(tensors).map((x) => tf.reshape<tf.Rank.R1>(x, [-1]));
    return all.length === 0 ? tf.scalar(0) : (tf.norm(tf.concat(all)) as tf.Scalar);
  });
}
