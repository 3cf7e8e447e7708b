// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: numbers by hand, errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { maskedPatchLoss } from './masked-patch-loss.ts';

describe.each(devices)('maskedPatchLoss on $name', (device) => {
  beforeAll(device.use);

  it('scores the masked patches alone: ((1-3)^2 + (2-5)^2) / 2 = 6.5', () => {
    tf.tidy(() => {
      const patches = tf.tensor3d([100, 100, 3, 5], [1, 2, 2]);
      const indices = tf.tensor2d([[1]], [1, 1], 'int32');
      const loss = maskedPatchLoss(tf.tensor3d([1, 2], [1, 1, 2]), patches, indices);
      expect([loss.shape, loss.dataSync()[0]]).toEqual([[], 6.5]);
    });
  });

  it('normalizes by the unbiased variance: [3, 5] is [-1, 1] / sqrt(2)', () => {
    tf.tidy(() => {
      const patches = tf.tensor3d([3, 5], [1, 1, 2]);
      const indices = tf.tensor2d([[0]], [1, 1], 'int32');
      const options = { normalizeTargets: true };
      const loss = maskedPatchLoss(tf.zeros([1, 1, 2]), patches, indices, options);
      expectClose(loss, 0.5, { maxAbs: 1e-6 });
      expect(loss.dtype).toBe('float32');
    });
  });

  it('names what is wrong', () => {
    tf.tidy(() => {
      const patches = tf.ones([2, 3, 5]);
      const indices = tf.zeros([2, 1], 'int32');
      const prediction = tf.ones([2, 1, 5]);
      expect(() => maskedPatchLoss(indices, patches, indices)).toThrow(
        'maskedPatchLoss: prediction: expected [batch, masked, patchValues], got [2, 1]',
      );
      expect(() => maskedPatchLoss(prediction, tf.ones([2, 3, 4]), indices)).toThrow(
        'maskedPatchLoss: patches: expected [batch = 2, tokens, patchValues = 5], got [2, 3, 4]',
      );
      expect(() => maskedPatchLoss(prediction, patches, tf.zeros([2, 3], 'int32'))).toThrow(
        'maskedPatchLoss: indices: expected [batch = 2, masked = 1], got [2, 3]',
      );
      expect(() => maskedPatchLoss(prediction, patches, tf.zeros([2, 1]))).toThrow(
        'maskedPatchLoss: indices: expected int32, got float32',
      );
      const none = tf.zeros([2, 0], 'int32');
      expect(() => maskedPatchLoss(tf.zeros([2, 0, 5]), patches, none)).toThrow(
        'maskedPatchLoss: expected at least one masked value, got none',
      );
      const single = tf.ones([2, 1, 1]);
      expect(() => maskedPatchLoss(single, single, indices, { normalizeTargets: true })).toThrow(
        'maskedPatchLoss: expected patches of at least 2 values to normalize, got 1',
      );
    });
  });
});
