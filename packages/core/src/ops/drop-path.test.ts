// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts. Here: the factors, errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { makeKey } from '../random.ts';
import { dropPath, dropPathFactors } from './drop-path.ts';

describe.each(devices)('dropPath on $name', (device) => {
  beforeAll(device.use);

  it('names what is wrong', () => {
    tf.tidy(() => {
      expect(() => dropPath(tf.scalar(1), tf.ones([1]))).toThrow(
        'dropPath: x: expected [batch, ...], got []',
      );
      expect(() => dropPath(tf.ones([2, 3]), tf.ones([3]))).toThrow(
        'dropPath: factor: expected [batch = 2], got [3]',
      );
    });
  });
});

describe('dropPathFactors', () => {
  it('drops a sample with probability rate and scales the others to keep the mean 1', () => {
    const factors = dropPathFactors(makeKey(7), 10_000, 0.25);
    const kept = Math.fround(1 / 0.75);
    expect(new Set(factors)).toEqual(new Set([0, kept]));
    // Standard deviation of the share dropped: sqrt(0.25 * 0.75 / 10000) = 0.0043; four of them.
    const dropped = factors.filter((factor) => factor === 0).length / factors.length;
    expect(Math.abs(dropped - 0.25)).toBeLessThan(0.0175);
  });

  it('keeps all at rate 0, and is a function of its key', () => {
    expect(dropPathFactors(makeKey(1), 3, 0)).toEqual(Float32Array.of(1, 1, 1));
    expect(dropPathFactors(makeKey(1), 64, 0.5)).toEqual(dropPathFactors(makeKey(1), 64, 0.5));
    expect(dropPathFactors(makeKey(1), 64, 0.5)).not.toEqual(dropPathFactors(makeKey(2), 64, 0.5));
  });

  it('refuses rates outside 0 <= rate < 1', () => {
    for (const rate of [-0.1, 1, Number.NaN]) {
      expect(() => dropPathFactors(makeKey(1), 2, rate)).toThrow(
        `dropPathFactors: expected 0 <= rate < 1, got ${rate}`,
      );
    }
  });
});
