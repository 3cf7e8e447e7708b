// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: numbers by hand, errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { infoNce } from './info-nce.ts';

describe.each(devices)('infoNce on $name', (device) => {
  beforeAll(device.use);

  it('is log(1 + exp(-1 / temperature)) for orthogonal pairs, whatever their lengths', () => {
    tf.tidy(() => {
      const queries = tf.tensor2d([3, 0, 0, 0.1], [2, 2]);
      const keys = tf.tensor2d([0.5, 0, 0, 7], [2, 2]);
      const loss = infoNce(queries, keys, { temperature: 0.5 });
      expectClose(loss, Math.log1p(Math.exp(-2)), { maxAbs: 1e-6 });
      expect(loss.shape).toEqual([]);
    });
  });

  it('goes one way: queries choose among keys', () => {
    tf.tidy(() => {
      const queries = tf.tensor2d([1, 0, 1, 0], [2, 2]);
      const keys = tf.tensor2d([1, 0, 0, 1], [2, 2]);
      // Both queries are key 0: losses log(1 + 1/e) and log(1 + e). Turned round, each key has
      // equal scores: log 2.
      const there = (Math.log1p(Math.exp(-1)) + Math.log1p(Math.E)) / 2;
      expectClose(infoNce(queries, keys, { temperature: 1 }), there, { maxAbs: 1e-6 });
      expectClose(infoNce(keys, queries, { temperature: 1 }), Math.log(2), { maxAbs: 1e-6 });
      expect(there).not.toBeCloseTo(Math.log(2));
    });
  });

  it('gives finite gradients for a vector of zeros', () => {
    tf.tidy(() => {
      const [queries, keys] = [tf.zeros([2, 3]), tf.tensor2d([1, 2, 3, 3, 2, 1], [2, 3])];
      const run = (q: tf.Tensor, k: tf.Tensor): tf.Tensor => infoNce(q, k, { temperature: 1 });
      for (const gradient of tf.grads(run)([queries, keys])) {
        expect(Array.from(gradient.dataSync()).every(Number.isFinite)).toBe(true);
      }
    });
  });

  it('names what is wrong', () => {
    tf.tidy(() => {
      const x = tf.ones([2, 3]);
      expect(() => infoNce(tf.ones([2, 3, 4]), x, { temperature: 1 })).toThrow(
        'infoNce: queries: expected [batch, width], got [2, 3, 4]',
      );
      expect(() => infoNce(x, tf.ones([3, 3]), { temperature: 1 })).toThrow(
        'infoNce: keys: expected [batch = 2, width = 3], got [3, 3]',
      );
      expect(() => infoNce(x, x, { temperature: 0 })).toThrow(
        'infoNce: expected a temperature above 0, got 0',
      );
    });
  });
});
