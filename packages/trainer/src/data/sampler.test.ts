// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { clipAt } from './sampler.ts';

const order = (seed: number, epoch: number, count: number): number[] =>
  Array.from({ length: count }, (_, position) => clipAt(seed, epoch, count, position));

describe('clipAt', () => {
  it.each([1, 2, 3, 4, 5, 17, 100, 1025])('visits each of %i clips once an epoch', (count) => {
    const sorted = order(3, 2, count).toSorted((a, b) => a - b);
    expect(sorted).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  it('has another order for another epoch and another seed, the same for the same', () => {
    expect(order(0, 0, 64)).toEqual(order(0, 0, 64));
    expect(order(0, 1, 64)).not.toEqual(order(0, 0, 64));
    expect(order(1, 0, 64)).not.toEqual(order(0, 0, 64));
  });

  it('repeats the epoch beyond its last position', () => {
    expect(clipAt(5, 0, 10, 13)).toBe(clipAt(5, 0, 10, 3));
  });

  it('puts a clip at every position about equally often', () => {
    // 4000 epochs of 8 clips: 500 expected a cell, standard deviation 20.9; 5 deviations are 105.
    const counts = new Int32Array(8);
    for (let epoch = 0; epoch < 4000; epoch++) counts[clipAt(9, epoch, 8, 0)]!++;
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(105);
  });
});
