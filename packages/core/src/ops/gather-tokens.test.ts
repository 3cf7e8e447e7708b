// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: exactness, none and all, errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { gatherTokens, scatterTokens } from './gather-tokens.ts';

describe.each(devices)('gatherTokens and scatterTokens on $name', (device) => {
  beforeAll(device.use);

  it('take each sample at its own indices, and put it back', () => {
    tf.tidy(() => {
      const x = tf.tensor3d([1, 2, 3, 4, 5, 6], [2, 3, 1]);
      const indices = tf.tensor2d([[2, 0], [1, 2]], [2, 2], 'int32'); // oxfmt-ignore
      const taken = gatherTokens(x, indices);
      expect([taken.shape, [...taken.dataSync()]]).toEqual([
        [2, 2, 1],
        [3, 1, 5, 6],
      ]);
      const back = scatterTokens(taken, indices, 3);
      expect([back.shape, [...back.dataSync()]]).toEqual([
        [2, 3, 1],
        [1, 0, 3, 0, 5, 6],
      ]);
    });
  });

  it('undo each other when all tokens are taken, bit for bit', () => {
    tf.tidy(() => {
      const x = tf.tensor3d([0.1, 1e-30, -3e30, 4], [1, 4, 1]);
      const indices = tf.tensor2d([[3, 1, 0, 2]], [1, 4], 'int32');
      const back = scatterTokens(gatherTokens(x, indices), indices, 4);
      expect(back.dataSync()).toEqual(x.dataSync());
    });
  });

  it('take none: nothing is masked', () => {
    tf.tidy(() => {
      const none = tf.tensor2d([], [2, 0], 'int32');
      expect(gatherTokens(tf.ones([2, 3, 4]), none).shape).toEqual([2, 0, 4]);
      const zeros = scatterTokens(tf.zeros([2, 0, 1]), none, 2);
      expect([zeros.shape, [...zeros.dataSync()]]).toEqual([
        [2, 2, 1],
        [0, 0, 0, 0],
      ]);
    });
  });

  it('name what is wrong', () => {
    tf.tidy(() => {
      const x = tf.ones([2, 3, 4]);
      const indices = tf.zeros([2, 2], 'int32');
      expect(() => gatherTokens(tf.ones([3, 4]), indices)).toThrow(
        'gatherTokens: x: expected [batch, tokens, width], got [3, 4]',
      );
      expect(() => gatherTokens(x, tf.zeros([1, 2], 'int32'))).toThrow(
        'gatherTokens: indices: expected [batch = 2, count], got [1, 2]',
      );
      expect(() => gatherTokens(x, tf.zeros([2, 2]))).toThrow(
        'gatherTokens: indices: expected int32, got float32',
      );
      expect(() => scatterTokens(tf.ones([4]), indices, 5)).toThrow(
        'scatterTokens: x: expected [batch, count, width], got [4]',
      );
      expect(() => scatterTokens(x, indices, 5)).toThrow(
        'scatterTokens: indices: expected [batch = 2, count = 3], got [2, 2]',
      );
      expect(() => scatterTokens(x, tf.zeros([2, 3], 'bool'), 5)).toThrow(
        'scatterTokens: indices: expected int32, got bool',
      );
    });
  });
});
