// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { flipHorizontal } from './flip.ts';

describe('flipHorizontal', () => {
  it('reverses the pixels of each row and keeps the channels in order', () => {
    const values = Uint8Array.from([1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]);
    expect(Array.from(flipHorizontal(values, 2))).toEqual([
      4, 5, 6, 1, 2, 3, 14, 15, 16, 11, 12, 13,
    ]);
    expect(values[0]).toBe(1);
  });

  it('is undone by itself, for odd widths and float frames too', () => {
    const values = Float32Array.from({ length: 2 * 3 * 5 * 3 }, (_, i) => i / 7);
    expect(flipHorizontal(flipHorizontal(values, 5), 5)).toEqual(values);
  });

  it('refuses values that are not whole rows', () => {
    expect(() => flipHorizontal(new Float32Array(7), 2)).toThrow(
      'flipHorizontal: expected the number of values to be a multiple of a row of width * 3 = 6, got 7',
    );
    expect(() => flipHorizontal(new Float32Array(6), 0)).toThrow(
      'flipHorizontal: expected width to be an integer >= 1, got 0',
    );
  });
});
