// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { biasTableRows, windowPlan } from './windows.ts';

const plan = (
  grid: [number, number],
  size: [number, number],
  shift: [number, number],
): ReturnType<typeof windowPlan> => windowPlan({ grid, size, shift }, 'test');

describe('windowPlan', () => {
  it('orders the tokens of a 4x4 grid by 2x2 windows', () => {
    const { windows, windowTokens, order, inverse, mask } = plan([4, 4], [2, 2], [0, 0]);
    expect([windows, windowTokens, mask]).toEqual([4, 4, null]);
    expect([...order]).toEqual([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
    expect([...inverse].map((place) => order[place])).toEqual([...order.keys()]);
  });

  it('rolls the grid towards its start, so the first window begins at the shift', () => {
    const { order } = plan([4, 4], [2, 2], [1, 1]);
    expect([...order.subarray(0, 4)]).toEqual([5, 6, 9, 10]);
    expect([...order.subarray(12)]).toEqual([15, 12, 3, 0]);
  });

  it('masks pairs from regions that only the roll made neighbours', () => {
    const { mask, windowTokens } = plan([4, 4], [2, 2], [1, 1]);
    const window = (w: number): number[] =>
      Array.from(mask ?? []).slice(w * windowTokens ** 2, (w + 1) * windowTokens ** 2);
    expect(window(0)).toEqual(Array.from({ length: 16 }, () => 0));
    // Top right: columns 3 and 0 of the grid.
    expect(window(1).slice(0, 8)).toEqual([0, -100, 0, -100, -100, 0, -100, 0]);
    // Bottom right: the four corners of the grid, each alone.
    expect(window(3)).toEqual(
      [0, 1, 2, 3].flatMap((i) => [0, 1, 2, 3].map((j) => (i === j ? 0 : -100))),
    );
  });

  it('does not shift an axis whose grid is no longer than the window', () => {
    expect(plan([4, 8], [4, 4], [2, 2]).order).toEqual(plan([4, 8], [4, 4], [0, 2]).order);
    expect(plan([4, 4], [4, 4], [2, 2]).mask).toBeNull();
  });

  it('indexes the bias table by (dr + a - 1)(2b - 1) + (dc + b - 1), d = query - key', () => {
    const { biasIndex, biasOneHot } = plan([2, 3], [2, 3], [0, 0]);
    expect(biasTableRows([2, 3])).toBe(15);
    expect(biasIndex[0]).toBe(1 * 5 + 2); // a token and itself
    expect(biasIndex[5]).toBe(0 * 5 + 0); // query (0, 0), key (1, 2)
    expect(biasIndex[5 * 6]).toBe(2 * 5 + 4); // query (1, 2), key (0, 0)
    const columns = biasIndex.length;
    expect([...biasIndex].every((row, column) => biasOneHot[row * columns + column] === 1)).toBe(
      true,
    );
    expect(biasOneHot.reduce((sum, value) => sum + value, 0)).toBe(columns);
  });

  it('refuses a window that does not divide the grid', () => {
    expect(() => plan([6, 8], [4, 4], [0, 0])).toThrow(
      'test: expected a grid that the window divides, got grid [6, 8] and window [4, 4]',
    );
    expect(() => plan([8, 6], [4, 4], [0, 0])).toThrow(
      'test: expected a grid that the window divides, got grid [8, 6] and window [4, 4]',
    );
    expect(() => plan([0, 4], [4, 4], [0, 0])).toThrow(
      'test: expected a grid that the window divides, got grid [0, 4] and window [4, 4]',
    );
  });

  it('refuses a shift that is not shorter than the window', () => {
    expect(() => plan([8, 8], [4, 4], [0, 4])).toThrow(
      'test: expected a shift shorter than the window, got shift [0, 4] and window [4, 4]',
    );
    expect(() => plan([8, 8], [4, 4], [-1, 0])).toThrow(
      'test: expected a shift shorter than the window, got shift [-1, 0] and window [4, 4]',
    );
  });
});
