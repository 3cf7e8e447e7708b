// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { centerCropBox } from './crop-box.ts';
import { axisWeights } from './resample-weights.ts';
import { resizeCrop, resizeShortSide } from './resize.ts';

/** Grey frames from one value per pixel. */
function grey(rows: readonly (readonly number[])[]): {
  data: Uint8Array;
  frames: number;
  height: number;
  width: number;
} {
  const data = Uint8Array.from(rows.flat().flatMap((value) => [value, value, value]));
  return { data, frames: 1, height: rows.length, width: rows[0]!.length };
}

describe('axisWeights', () => {
  it('averages pairs with a triangle when halving: 1/8, 3/8, 3/8, 1/8', () => {
    const { taps, starts, counts, weights } = axisWeights(8, 4, true);
    const from = 1 * taps;
    expect([starts[1], counts[1]]).toEqual([1, 4]);
    expect(Array.from(weights.subarray(from, from + 4))).toEqual([0.125, 0.375, 0.375, 0.125]);
  });

  it('sums to 1 for every output of every pair of lengths up to 40', () => {
    const faults: object[] = [];
    for (let inputs = 1; inputs <= 40; inputs++) {
      for (let outputs = 1; outputs <= 40; outputs++) {
        for (const antialias of [true, false]) {
          const { taps, starts, counts, weights } = axisWeights(inputs, outputs, antialias);
          for (let i = 0; i < outputs; i++) {
            const used = weights.subarray(i * taps, i * taps + counts[i]!);
            const sum = used.reduce((total, weight) => total + weight, 0);
            const fits = counts[i]! <= taps && starts[i]! >= 0 && starts[i]! + counts[i]! <= inputs;
            if (!fits || !(Math.abs(sum - 1) < 1e-6)) {
              faults.push({ inputs, outputs, antialias, i, sum, fits });
            }
          }
        }
      }
    }
    expect(faults).toEqual([]);
  });
});

describe('resizeCrop', () => {
  it('copies the box exactly when the size does not change', () => {
    const frames = grey([
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ]);
    const output = resizeCrop(frames, { top: 1, left: 0, height: 2, width: 2 }, 2);
    expect(Array.from(output)).toEqual([4, 4, 4, 5, 5, 5, 7, 7, 7, 8, 8, 8]);
  });

  it('keeps a constant image constant at any size', () => {
    const frames = grey(Array.from({ length: 17 }, () => Array<number>(23).fill(200)));
    for (const size of [1, 5, 16, 30]) {
      const output = resizeCrop(frames, { top: 0, left: 0, height: 17, width: 23 }, size);
      expect(output.every((value) => Math.abs(value - 200) < 1e-4)).toBe(true);
    }
  });

  it('reads nothing outside the box', () => {
    const frames = grey([
      [255, 255, 255, 255],
      [255, 10, 20, 255],
      [255, 30, 40, 255],
      [255, 255, 255, 255],
    ]);
    const output = resizeCrop(frames, { top: 1, left: 1, height: 2, width: 2 }, 1);
    expect(Array.from(output)).toEqual([25, 25, 25]);
  });

  it('treats frames alike and apart', () => {
    const data = Uint8Array.from({ length: 2 * 4 * 4 * 3 }, (_, i) => (i * 37) % 256);
    const box = { top: 0, left: 1, height: 3, width: 3 };
    const both = resizeCrop({ data, frames: 2, height: 4, width: 4 }, box, 2);
    const second = resizeCrop({ data: data.subarray(48), frames: 1, height: 4, width: 4 }, box, 2);
    expect(both.subarray(12)).toEqual(second);
  });

  it('takes the float frames of resizeShortSide, the usual test-time path', () => {
    const data = Uint8Array.from({ length: 12 * 18 * 3 }, (_, i) => (i * 53) % 256);
    const small = resizeShortSide({ data, frames: 1, height: 12, width: 18 }, 6);
    expect([small.height, small.width, small.data.length]).toEqual([6, 9, 162]);
    const output = resizeCrop(small, centerCropBox({ ...small, size: 4 }), 4);
    // Rows 1..4 and columns 2..5: (9 - 4) / 2 = 2.5 rounds to the even 2.
    expect(output.subarray(0, 12)).toEqual(small.data.subarray(33, 45));
  });

  it('names data, boxes and sizes that do not fit', () => {
    const frames = grey([
      [1, 2],
      [3, 4],
    ]);
    const whole = { top: 0, left: 0, height: 2, width: 2 };
    expect(() => resizeCrop({ ...frames, frames: 2 }, whole, 2)).toThrow(
      'resizeCrop: expected [frames, height, width, channels] = [2, 2, 2, 3] (24 values), got 12 values',
    );
    expect(() => resizeCrop(frames, { ...whole, left: 1 }, 2)).toThrow(
      'resizeCrop: expected a box inside a 2x2 frame, got 2x2 at (0, 1)',
    );
    expect(() => resizeCrop(frames, { ...whole, top: 0.5, height: 1 }, 2)).toThrow(
      'resizeCrop: expected a box inside a 2x2 frame, got 1x2 at (0.5, 0)',
    );
    expect(() => resizeCrop(frames, { ...whole, width: 0 }, 2)).toThrow(
      'resizeCrop: expected box.width to be an integer >= 1, got 0',
    );
    expect(() => resizeCrop(frames, whole, 0)).toThrow(
      'resizeCrop: expected size to be an integer >= 1, got 0',
    );
    expect(() => resizeShortSide(frames, 1.5)).toThrow(
      'resizeShortSide: expected shortSide to be an integer >= 1, got 1.5',
    );
  });
});
