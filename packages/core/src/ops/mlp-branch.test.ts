// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: its errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { mlpBranch } from './mlp-branch.ts';

describe.each(devices)('mlpBranch on $name', (device) => {
  beforeAll(device.use);

  it('is x where weights and biases are 0, and takes no tokens', () => {
    tf.tidy(() => {
      const norm = { weight: tf.ones([2]), bias: tf.zeros([2]) };
      const fc1 = { weight: tf.zeros([3, 2]), bias: tf.zeros([3]) };
      const fc2 = { weight: tf.zeros([2, 3]), bias: tf.zeros([2]) };
      const x = tf.tensor3d([1, 2, 3, 5], [1, 2, 2]);
      expect(mlpBranch(x, { norm, fc1, fc2 }).arraySync()).toEqual(x.arraySync());
      expect(mlpBranch(tf.zeros([1, 0, 2]), { norm, fc1, fc2 }).shape).toEqual([1, 0, 2]);
    });
  });

  it('names the shape that is wrong', () => {
    tf.tidy(() => {
      const norm = { weight: tf.ones([2]), bias: tf.ones([2]) };
      const fc1 = { weight: tf.ones([3, 2]), bias: tf.ones([3]) };
      const fc2 = { weight: tf.ones([2, 3]), bias: tf.ones([2]) };
      const x = tf.ones([4, 5, 2]);
      const one = tf.ones([1]);
      expect(() => mlpBranch(tf.ones([2]), { norm, fc1, fc2 })).toThrow(
        'mlpBranch: x: expected [batch, tokens, width], got [2]',
      );
      expect(() => mlpBranch(x, { norm: { ...norm, weight: one }, fc1, fc2 })).toThrow(
        'mlpBranch: norm.weight: expected [width = 2], got [1]',
      );
      expect(() => mlpBranch(x, { norm: { ...norm, bias: one }, fc1, fc2 })).toThrow(
        'mlpBranch: norm.bias: expected [width = 2], got [1]',
      );
      expect(() => mlpBranch(x, { norm, fc1: fc2, fc2 })).toThrow(
        'mlpBranch: fc1.weight: expected [hidden, width = 2], got [2, 3]',
      );
      expect(() => mlpBranch(x, { norm, fc1: { ...fc1, bias: one }, fc2 })).toThrow(
        'mlpBranch: fc1.bias: expected [hidden = 3], got [1]',
      );
      expect(() => mlpBranch(x, { norm, fc1, fc2: fc1 })).toThrow(
        'mlpBranch: fc2.weight: expected [width = 2, hidden = 3], got [3, 2]',
      );
      expect(() => mlpBranch(x, { norm, fc1, fc2: { ...fc2, bias: one } })).toThrow(
        'mlpBranch: fc2.bias: expected [width = 2], got [1]',
      );
      expect(() => mlpBranch(x, { norm, fc1, fc2 }, { branchScale: one })).toThrow(
        'mlpBranch: branchScale: expected [batch = 4], got [1]',
      );
    });
  });
});
