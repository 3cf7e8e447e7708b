// SPDX-License-Identifier: Apache-2.0
import { makeKey, normals } from '@diffmavil/core';
import { describe, expect, it } from 'vitest';
import {
  columnBandEnergies,
  columnBands,
  cosineTransform,
  radialBandEnergies,
} from './band-errors.ts';

const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
const energy = (values: ArrayLike<number>): number => sum(Array.from(values, (x) => x * x));

describe('cosineTransform', () => {
  it('puts a cosine of half-sample phase into one coefficient', () => {
    const [rows, columns] = [8, 16];
    // cos(pi (2 y + 1) 3 / 16) cos(pi (2 x + 1) 5 / 32) has norm sqrt(8 / 2) sqrt(16 / 2), and is coefficient (3, 5).
    const values = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [y, x] = [Math.floor(i / columns), i % columns];
      return (
        Math.cos((Math.PI * (2 * y + 1) * 3) / 16) * Math.cos((Math.PI * (2 * x + 1) * 5) / 32)
      );
    });
    const transformed = cosineTransform({ values, rows, columns });
    expect(transformed.values[3 * columns + 5]).toBeCloseTo(Math.sqrt(4 * 8), 5);
    expect(energy(transformed.values)).toBeCloseTo(32, 4);
  });

  it('keeps the energy of any field, odd sizes included, and puts a mean at (0, 0)', () => {
    for (const [rows, columns] of [
      [7, 9],
      [1, 5],
      [48, 48],
    ] as const) {
      const values = normals(makeKey(rows), rows * columns);
      const transformed = cosineTransform({ values, rows, columns });
      expect(energy(transformed.values) / energy(values)).toBeCloseTo(1, 6);
      expect(transformed.values[0]).toBeCloseTo(sum(values) / Math.sqrt(rows * columns), 4);
    }
  });

  it('refuses values of another shape', () => {
    expect(() => cosineTransform({ values: [1, 2, 3], rows: 2, columns: 2 })).toThrow(
      'cosineTransform: expected 2 x 2 values, got 3',
    );
  });
});

describe('radialBandEnergies', () => {
  it('adds up to the energy, coarse structure in the first band and checkerboards in the last', () => {
    const size = 32;
    const field = (of: (y: number, x: number) => number): number[] => {
      const values = Float32Array.from({ length: size * size }, (_, i) =>
        of(Math.floor(i / size), i % size),
      );
      const energies = radialBandEnergies(
        cosineTransform({ values, rows: size, columns: size }),
        8,
      );
      expect(sum(energies)).toBeCloseTo(energy(values), 2);
      return [...energies].map((one) => one / energy(values));
    };
    expect(field(() => 1)[0]).toBeCloseTo(1, 6);
    // One wave over 32 samples lies below 1/8 of the Nyquist frequency (waves of 16).
    expect(field((_, x) => Math.cos((2 * Math.PI * (x + 0.5)) / 32))[0]).toBeCloseTo(1, 6);
    // Rows that alternate: at the Nyquist frequency itself, which lies between coefficients, so a tenth leaks below.
    expect(field((y) => (y % 2 === 0 ? 1 : -1))[7]).toBeGreaterThan(0.9);
    expect(field((y, x) => ((x + y) % 2 === 0 ? 1 : -1))[7]).toBeGreaterThan(0.9);
  });
});

describe('columnBands', () => {
  it('cuts columns into bands of about equal width, one a column when there are few', () => {
    expect(columnBands(32, 8)).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 32]);
    expect(columnBands(10, 4)).toEqual([0, 3, 5, 8, 10]);
    expect(columnBands(3, 8)).toEqual([0, 1, 2, 3]);
  });

  it('gathers the energy of the columns', () => {
    const field = { values: [1, 2, 3, 4, 5, 6], rows: 2, columns: 3 };
    expect([...columnBandEnergies(field, [0, 1, 3])]).toEqual([1 + 16, 4 + 9 + 25 + 36]);
  });
});
