// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { denormalizeFrames, imageNetMean, imageNetStd, normalizeFrames } from './normalize.ts';

describe('normalizeFrames', () => {
  it('maps 0..255 to -1..1 for mean and std 0.5', () => {
    const half = [0.5, 0.5, 0.5] as const;
    const output = normalizeFrames(Uint8Array.of(0, 51, 255), half, half);
    expect(Array.from(output)).toEqual([-1, Math.fround(-0.6), 1]);
  });

  it('treats each channel with its own figures', () => {
    const output = normalizeFrames(Uint8Array.of(255, 255, 255), [0, 0.5, 1], [1, 0.25, 0.5]);
    expect(Array.from(output)).toEqual([1, 2, 0]);
  });

  it('is undone for every byte by denormalising and rounding', () => {
    const bytes = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
    const normal = normalizeFrames(bytes, imageNetMean, imageNetStd);
    const again = denormalizeFrames(normal, imageNetMean, imageNetStd);
    expect(Array.from(new Uint8ClampedArray(again))).toEqual(Array.from(bytes));
  });

  it('names figures that cannot be used', () => {
    const half = [0.5, 0.5, 0.5] as const;
    const values = new Float32Array(3);
    expect(() => normalizeFrames(values, half, [0.5, 0, 0.5])).toThrow(
      'normalizeFrames: expected std to be 3 finite numbers > 0, got [0.5, 0, 0.5]',
    );
    expect(() => denormalizeFrames(values, [NaN, 0, 0], half)).toThrow(
      'denormalizeFrames: expected mean to be 3 finite numbers, got [NaN, 0, 0]',
    );
    expect(() => normalizeFrames(new Float32Array(4), half, half)).toThrow(
      'normalizeFrames: expected the number of values to be a multiple of channels 3, got 4',
    );
  });
});
