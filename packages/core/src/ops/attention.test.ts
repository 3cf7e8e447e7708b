// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: what only attention does, and its
// errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { attention, attentionReference } from './attention.ts';
import type { WindowOptions } from './windows.ts';

describe.each(devices)('attention on $name', (device) => {
  beforeAll(device.use);

  it('averages the values when all scores are equal', () => {
    tf.tidy(() => {
      const value = tf.tensor3d([1, 2, 3, 6], [1, 2, 2]);
      const y = attention(tf.zeros([1, 3, 2]), tf.ones([1, 2, 2]), value, { heads: 2 });
      expectClose(y, [2, 4, 2, 4, 2, 4], { maxAbs: 1e-6 });
      expect(y.shape).toEqual([1, 3, 2]);
    });
  });

  it('stays finite for scores of 1000 and more', () => {
    tf.tidy(() => {
      const query = tf.tensor3d([100, -100, 30, 1000], [1, 2, 2]);
      const value = tf.tensor3d([1, 2, 3, 4], [1, 2, 2]);
      const options = { heads: 1 };
      const run = (...x: tf.Tensor[]): tf.Tensor => attention(x[0]!, x[0]!, x[1]!, options);
      expectClose(run(query, value), attentionReference(query, query, value, options));
      for (const gradient of tf.grads(run)([query, value])) {
        expect(Array.from(gradient.dataSync()).every(Number.isFinite)).toBe(true);
      }
    });
  });

  it('takes no queries', () => {
    tf.tidy(() => {
      const keys = tf.ones([2, 3, 4]);
      expect(attention(tf.zeros([2, 0, 4]), keys, keys, { heads: 2 }).shape).toEqual([2, 0, 4]);
    });
  });

  it('attends within windows only: a change elsewhere changes nothing', () => {
    tf.tidy(() => {
      const window: WindowOptions = { grid: [2, 4], size: [2, 2], shift: [0, 0] };
      const x = tf.tensor3d(
        Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)),
        [1, 8, 2],
      );
      const moved = tf.add(
        x,
        tf.tensor3d(
          [0, 0, 9, 9].flatMap((n) => [n, n, n, n]),
          [1, 8, 2],
        ),
      );
      const left = (y: tf.Tensor): tf.Tensor => tf.gather(y, tf.tensor1d([0, 1, 4, 5], 'int32'), 1);
      // Tokens 4..7 are the second row: move those at columns 2 and 3 alone.
      const far = tf.tensor3d(
        [0, 0, 1, 1, 0, 0, 1, 1].flatMap((n) => [n, n]),
        [1, 8, 2],
      );
      const mixed = tf.add(tf.mul(moved, far), tf.mul(x, tf.sub(1, far)));
      const options = { heads: 1, window };
      expectClose(
        left(attention(mixed, mixed, mixed, options)),
        left(attention(x, x, x, options)),
        { maxAbs: 0 },
      );
      expect(mixed.shape).toEqual([1, 8, 2]);
    });
  });

  it('names what does not fit', () => {
    tf.tidy(() => {
      const x = tf.ones([1, 8, 4]);
      const window: WindowOptions = { grid: [2, 4], size: [2, 2], shift: [1, 1] };
      expect(() => attention(tf.ones([8, 4]), x, x, { heads: 2 })).toThrow(
        'attention: query: expected [batch, queries, width], got [8, 4]',
      );
      expect(() => attention(x, tf.ones([2, 8, 4]), x, { heads: 2 })).toThrow(
        'attention: key: expected [batch = 1, keys, width = 4], got [2, 8, 4]',
      );
      expect(() => attention(x, x, tf.ones([1, 7, 4]), { heads: 2 })).toThrow(
        'attention: value: expected [batch = 1, keys = 8, width = 4], got [1, 7, 4]',
      );
      expect(() => attention(x, x, x, { heads: 3 })).toThrow(
        'attention: expected heads that divide the width, got 3 heads and width 4',
      );
      expect(() => attention(x, x, x, { heads: 0 })).toThrow(
        'attention: expected heads that divide the width, got 0 heads and width 4',
      );
      expect(() => attention(x, x, x, { heads: 2, relBias: tf.ones([9, 2]) })).toThrow(
        'attention: expected a window with relBias, got none',
      );
      expect(() => attention(x, x, x, { heads: 2, window: { ...window, size: [2, 3] } })).toThrow(
        'attention: expected a grid that the window divides, got grid [2, 4] and window [2, 3]',
      );
      expect(() => attention(x, x, x, { heads: 2, window: { ...window, grid: [4, 4] } })).toThrow(
        'attention: expected 16 tokens for grid [4, 4], got 8',
      );
      expect(() => attention(x, x, x, { heads: 2, window, relBias: tf.ones([9, 4]) })).toThrow(
        'attention: relBias: expected [offsets = 9, heads = 2], got [9, 4]',
      );
    });
  });
});
