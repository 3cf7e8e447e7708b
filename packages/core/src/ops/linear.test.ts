// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: what only linear does, and its errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { linear } from './linear.ts';

describe.each(devices)('linear on $name', (device) => {
  beforeAll(device.use);

  it('multiplies by the transposed weight and adds the bias: [1, 2] · [[3, 4]]ᵀ + 5 = 16', () => {
    tf.tidy(() => {
      const y = linear(tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4]]), tf.tensor1d([5]));
      expect(y.arraySync()).toEqual([[16]]);
    });
  });

  it('takes no rows', () => {
    tf.tidy(() => {
      expect(linear(tf.zeros([2, 0, 3]), tf.ones([4, 3]), tf.ones([4])).shape).toEqual([2, 0, 4]);
    });
  });

  it('leaves out the gradient of x when told so', () => {
    const [x, weight] = [tf.ones([2, 3]), tf.ones([4, 3])];
    expectNoLeak(() => {
      tf.tidy(() => {
        const run = (w: tf.Tensor): tf.Tensor => linear(x, w, null, { inputGradient: false });
        expect(tf.grad(run)(weight).arraySync()).toEqual(
          Array.from({ length: 4 }, () => [2, 2, 2]),
        );
      });
    });
    const ofX = tf.grad((input: tf.Tensor) =>
      linear(input, weight, null, { inputGradient: false }),
    );
    expect(() => tf.tidy(() => ofX(x))).toThrow(
      'Cannot backprop through input x. Available gradients found: weight.',
    );
  });

  it('names the shape that is wrong', () => {
    tf.tidy(() => {
      const [x, weight] = [tf.ones([2, 3]), tf.ones([4, 3])];
      expect(() => linear(tf.scalar(1), weight, null)).toThrow(
        'linear: x: expected [..., inWidth], got []',
      );
      expect(() => linear(x, tf.ones([3, 4]), null)).toThrow(
        'linear: weight: expected [outWidth, inWidth = 3], got [3, 4]',
      );
      expect(() => linear(x, weight, tf.ones([3]))).toThrow(
        'linear: bias: expected [outWidth = 4], got [3]',
      );
    });
  });
});
