// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { classWeights, clipAt, weightedClipAt } from './sampler.ts';

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

describe('weightedClipAt', () => {
  const drawn = (weights: readonly number[], count: number, epoch = 0): number[] => {
    let sum = 0;
    const cumulative = Float64Array.from(weights, (weight) => (sum += weight));
    return Array.from({ length: count }, (_, position) =>
      weightedClipAt(3, epoch, cumulative, position),
    );
  };

  it('draws each clip as often as its weight says, with replacement', () => {
    const all = drawn([1, 0, 6, 3], 2000);
    const share = (index: number): number => all.filter((one) => one === index).length / 2000;
    // Four standard deviations of a share p of 2000 draws, sqrt(p (1 - p) / 2000): 0.027, 0.044, 0.041.
    expect(Math.abs(share(0) - 0.1)).toBeLessThan(0.027);
    expect(share(1)).toBe(0);
    expect(Math.abs(share(2) - 0.6)).toBeLessThan(0.044);
    expect(Math.abs(share(3) - 0.3)).toBeLessThan(0.041);
  });

  it('is a function of seed, epoch and position', () => {
    expect(drawn([1, 1, 1], 20)).toEqual(drawn([1, 1, 1], 20));
    expect(drawn([1, 1, 1], 20, 1)).not.toEqual(drawn([1, 1, 1], 20, 0));
  });
});

describe('classWeights', () => {
  it('adds up 1000 / (count + 0.01) of the classes of a clip', () => {
    const clips = [{ labels: ['a'] }, { labels: ['a', 'b'] }, { labels: [] }];
    const [first, second, third] = classWeights(clips);
    expect(first).toBeCloseTo(1000 / 2.01, 9);
    expect(second).toBeCloseTo(1000 / 2.01 + 1000 / 1.01, 9);
    expect(third).toBe(0);
  });
});
