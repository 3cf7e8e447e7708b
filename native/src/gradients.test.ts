// SPDX-License-Identifier: Apache-2.0
import { expectClose, finiteDifference } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
import { noAddon, skipNote, useNative } from './test-native.ts';

/** Not symmetric, without equal neighbours. */
function ramp(shape: number[], step: number): tf.Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(1 + step * i)),
    shape,
  );
}

describe.skipIf(noAddon)(`gradients${skipNote}`, () => {
  beforeEach(useNative);

  const functions: [string, number[][], (...x: tf.Tensor[]) => tf.Tensor][] = [
    ['the sum of all', [[3, 4]], (x) => tf.sum(x)],
    ['sums over axes', [[2, 3, 4]], (x) => tf.sum(x, [0, -1])],
    ['sums that keep axes', [[2, 3, 4]], (x) => tf.sum(x, 1, true)],
    ['the mean of all', [[3, 4]], (x) => tf.mean(x)],
    ['means over axes', [[2, 3, 4]], (x) => tf.mean(x, [0, 2])],
    ['means that keep axes', [[2, 3, 4]], (x) => tf.mean(x, -1, true)],
    [
      'squared differences',
      [
        [3, 4],
        [3, 4],
      ],
      (a, b) => tf.squaredDifference(a, b),
    ],
    [
      'squared differences that broadcast',
      [
        [2, 1, 4],
        [3, 1],
      ],
      (a, b) => tf.squaredDifference(a, b),
    ],
    ['softmax', [[3, 5]], (x) => tf.softmax(x)],
    ['softmax of one class', [[3, 1]], (x) => tf.softmax(x)],
  ];

  it.each(functions)('%s have those of finite differences, natively', async (_, shapes, f) => {
    const x = shapes.map((shape, i) => ramp(shape, 0.7 + i));
    const dy = tf.tidy(() => ramp(f(...x).shape, 1.3));
    resetDelegatedKernels();
    const gradients = tf.grads(f)(x, dy);
    expect(delegatedKernels()).toEqual({});
    const expected = finiteDifference(f, x, { dy: dy.dataSync() });
    for (const [i, gradient] of gradients.entries()) {
      expectClose(gradient, expected[i]!, { maxAbs: 1e-4 });
    }
    await tf.setBackend('cpu');
    const elsewhere = shapes.map((shape, i) => ramp(shape, 0.7 + i));
    const other = tf.grads(f)(
      elsewhere,
      tf.tidy(() => ramp(f(...elsewhere).shape, 1.3)),
    );
    for (const [i, gradient] of other.entries()) {
      expectClose(gradient, expected[i]!, { maxAbs: 1e-4 });
    }
    tf.dispose([x, dy, gradients, elsewhere, other]);
  });

  // Not of softmax: tfjs loses what reaches a saved output, in its stock gradient too.
  it.each(functions.filter(([name]) => !name.startsWith('softmax')))(
    '%s have gradients of gradients',
    (_, shapes, f) => {
      const x = shapes.map((shape, i) => ramp(shape, 0.7 + i));
      const first = (...y: tf.Tensor[]): tf.Tensor =>
        tf.sum(tf.square(tf.grads((...z: tf.Tensor[]) => tf.sum(tf.square(f(...z))))(y)[0]!));
      const gradients = tf.tidy(() => tf.grads(first)(x));
      const expected = finiteDifference(first, x);
      for (const [i, gradient] of gradients.entries()) {
        expectClose(gradient, expected[i]!, { nmse: 1e-5 });
      }
      tf.dispose([x, gradients]);
    },
  );

  it('of the gradient of softmax are those of finite differences', () => {
    const f = (dy: tf.Tensor, y: tf.Tensor): tf.Tensor =>
      tf.engine().runKernel('DmSoftmaxGrad', { dy, y });
    const x = [ramp([3, 5], 0.7), ramp([3, 5], 1.1)];
    const gradients = tf.grads(f)(x);
    const expected = finiteDifference(f, x);
    for (const [i, gradient] of gradients.entries()) {
      expectClose(gradient, expected[i]!, { maxAbs: 1e-4 });
    }
    tf.dispose([x, gradients]);
  });

  it('of sums and means keep no input alive', () => {
    const x = ramp([40, 50], 0.3);
    for (const f of [tf.sum, tf.mean]) {
      let kept = 0;
      const before = tf.memory().numDataBuffers;
      tf.grad((y) => {
        const loss = tf.tidy(() => f(tf.neg(y)));
        kept = tf.memory().numDataBuffers - before;
        return loss;
      })(x).dispose();
      expect(kept).toBe(1); // the loss itself
    }
    x.dispose();
  });

  it('of sums survive attributes that two shapes share', () => {
    const attrs = { axis: [0], keepDims: false };
    const run = (x: tf.Tensor): tf.Tensor => tf.engine().runKernel('Sum', { x }, attrs);
    const [a, b] = [ramp([3, 2], 1), ramp([5, 2], 1)];
    const gradients = tf.grads((x, y) => tf.add(run(x), run(y)))([a, b]);
    expect(gradients.map(({ shape }) => shape)).toEqual([
      [3, 2],
      [5, 2],
    ]);
    tf.dispose([a, b, gradients]);
  });
});
