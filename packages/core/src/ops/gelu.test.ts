// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: the ends of its range.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { gelu } from './gelu.ts';

describe.each(devices)('gelu on $name', (device) => {
  beforeAll(device.use);

  it('is 0 far below and x far above, with slopes 0 and 1', () => {
    tf.tidy(() => {
      const x = tf.tensor1d([-1e4, -20, 0, 20, 1e4]);
      expectClose(gelu(x), [0, 0, 0, 20, 1e4], { maxAbs: 0 });
      // exp(-x^2 / 2) underflows to exactly 0; the rational erf of tfjs gives 1 / 2 at 0 to 1e-9.
      expectClose(tf.grad(gelu)(x), [0, 0, 0.5, 1, 1], { maxAbs: 1e-8 });
      expect(gelu(x).shape).toEqual([5]);
    });
  });

  it('is 0.8413447 at 1: the normal distribution function there', () => {
    tf.tidy(() => {
      const y = gelu(tf.scalar(1));
      expectClose(y, 0.8413447, { maxAbs: 3e-7 });
      expect(y.shape).toEqual([]);
    });
  });
});
