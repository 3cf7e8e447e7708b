// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose } from './close.ts';
import { devices } from './devices.ts';

describe('expectClose', () => {
  beforeAll(devices[0]!.use);

  it('takes numbers within every bound given', () => {
    expect(() => {
      expectClose([1, 2], [1, 2]);
      expectClose([1.0001, 2], [1, 2]);
      expectClose([1.1, -2], new Float32Array([1, -2]), {
        maxAbs: 0.11,
        maxRel: 0.11,
        nmse: 0.003,
      });
      expectClose(3, 3);
      expectClose([Infinity, 0], [Infinity, 0], { maxAbs: 0, maxRel: 0, nmse: 0 });
    }).not.toThrow();
  });

  it.each([
    [[1.1], [1], {}, 'expected nmse <= 1e-7, got 0.010000000000000018'],
    [
      [0, 2.5],
      [0, 2],
      { maxAbs: 0.4 },
      'expected maxAbs <= 0.4, got 0.5 at 1: expected 2, got 2.5',
    ],
    [
      [0, 2.5],
      [0, 2],
      { maxRel: 0.2 },
      'expected maxRel <= 0.2, got 0.25 at 1: expected 2, got 2.5',
    ],
    [[1], [0], { maxRel: 9 }, 'expected maxRel <= 9, got Infinity at 0: expected 0, got 1'],
    [[1], [0], { nmse: 9 }, 'expected nmse <= 9, got Infinity'],
    [[1, 2], [1], {}, 'expected 1 numbers, got 2'],
  ])('refuses %j for %j within %j', (actual, expected, tolerance, message) => {
    expect(() => expectClose(actual, expected, tolerance)).toThrow(`expectClose: ${message}`);
  });

  it.each([{ nmse: 1e9 }, { maxAbs: 1e9 }, { maxRel: 1e9 }])('refuses NaN within %j', (bound) => {
    expect(() => expectClose([5, Number.NaN, 7], [5, 6, 9], bound)).toThrow('got NaN');
    expect(() => expectClose([5, 6], [5, Number.NaN], bound)).toThrow('got NaN');
    expect(() => expectClose([Number.NaN], [Number.NaN], bound)).toThrow('got NaN');
  });

  it('compares the shapes of tensors', () => {
    tf.tidy(() => {
      expect(() => expectClose(tf.zeros([2, 3]), tf.zeros([3, 2]))).toThrow(
        'expectClose: expected shape [3, 2], got [2, 3]',
      );
      expect(() => expectClose(tf.zeros([2, 3]), new Float32Array(6))).not.toThrow();
    });
  });
});
