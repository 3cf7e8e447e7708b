// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: what only layerNorm does, and its
// errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { layerNorm } from './layer-norm.ts';

describe.each(devices)('layerNorm on $name', (device) => {
  beforeAll(device.use);

  it('uses the biased variance: [1, 3] becomes [-1, 1] before weight 2 and bias 1', () => {
    tf.tidy(() => {
      const y = layerNorm(tf.tensor1d([1, 3]), {
        weight: tf.mul(tf.ones([2]), 2),
        bias: tf.ones([2]),
      });
      expectClose(y, [-1, 3], { maxAbs: 2e-6 }); // epsilon moves the root by 5e-7
      expect(y.shape).toEqual([2]);
    });
  });

  it('gives the bias for constant rows, whatever their size', () => {
    tf.tidy(() => {
      const y = layerNorm(tf.mul(tf.ones([3, 4]), 1e4), {
        weight: tf.ones([4]),
        bias: tf.mul(tf.ones([4]), 0.5),
      });
      expect([...y.dataSync()]).toEqual(Array.from({ length: 12 }, () => 0.5));
    });
  });

  it('names the shape that is wrong', () => {
    tf.tidy(() => {
      const ones = tf.ones([3]);
      expect(() => layerNorm(tf.scalar(1), { weight: ones, bias: ones })).toThrow(
        'layerNorm: x: expected [..., width], got []',
      );
      expect(() => layerNorm(tf.ones([2, 4]), { weight: ones, bias: ones })).toThrow(
        'layerNorm: weight: expected [width = 4], got [3]',
      );
      expect(() => layerNorm(ones, { weight: ones, bias: tf.ones([1, 3]) })).toThrow(
        'layerNorm: bias: expected [width = 3], got [1, 3]',
      );
    });
  });
});
