// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { globalNorm, globalNormReference } from './global-norm.ts';

describe.each(devices)('globalNorm on $name', (device) => {
  beforeAll(device.use);

  it('is the root of all squares: 5 for 3 and 4 in two tensors', () => {
    tf.tidy(() => {
      const tensors = { a: tf.scalar(3), b: tf.tensor2d([[0, -4]]) };
      expect(globalNorm(tensors).dataSync()[0]).toBe(5);
      expectClose(globalNorm(tensors), globalNormReference(tensors), { maxRel: 1e-6 });
    });
  });

  it('keeps its digits over 300 000 equal values: sqrt(300000) * 0.1', () => {
    tf.tidy(() => {
      const tensors = { a: tf.mul(tf.ones([500, 600]), 0.1) };
      expectClose(globalNorm(tensors), Math.sqrt(3e5) * 0.1, { maxRel: 2e-6 });
      expect(globalNorm(tensors).shape).toEqual([]);
    });
  });

  it('is 0 for no tensors, and leaves only its result', () => {
    expectNoLeak(() => {
      const norm = globalNorm({});
      expect(norm.dataSync()[0]).toBe(0);
      norm.dispose();
    });
    tf.tidy(() => {
      expect(globalNormReference({}).dataSync()[0]).toBe(0);
    });
  });
});
