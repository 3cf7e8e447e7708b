// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { centerCropBox, randomResizedCropBox } from './crop-box.ts';

/** A small linear congruential stream (Numerical Recipes constants), enough to visit the ranges. */
function stream(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('randomResizedCropBox', () => {
  it('stays inside the frame and within the ranges', () => {
    const uniform = stream(1);
    for (let i = 0; i < 2000; i++) {
      const box = randomResizedCropBox({ height: 240, width: 320 }, uniform);
      expect(box.top >= 0 && box.top + box.height <= 240).toBe(true);
      expect(box.left >= 0 && box.left + box.width <= 320).toBe(true);
      // Sides are rounded to whole pixels of at least 100, so shares and aspects move by under 1 %.
      const share = (box.height * box.width) / (240 * 320);
      expect(share > 0.198 && share <= 1.01).toBe(true);
      const aspect = box.width / box.height;
      expect(aspect > 0.742 && aspect < 1.347).toBe(true);
    }
  });

  it('gives the same box for the same stream', () => {
    const options = { height: 90, width: 160 };
    expect(randomResizedCropBox(options, stream(5))).toEqual(
      randomResizedCropBox(options, stream(5)),
    );
  });

  it('reaches the first and the last row and column', () => {
    const draws = [0, 0.5, 0, 0];
    const box = randomResizedCropBox({ height: 100, width: 100, scale: [0.25, 1] }, () =>
      draws.shift()!,
    );
    expect(box).toEqual({ top: 0, left: 0, height: 50, width: 50 });
    const late = [0, 0.5, 1 - 2 ** -24, 1 - 2 ** -24];
    const last = randomResizedCropBox({ height: 100, width: 100, scale: [0.25, 1] }, () =>
      late.shift()!,
    );
    expect(last).toEqual({ top: 50, left: 50, height: 50, width: 50 });
  });

  it('falls back to the centre of a strip after 10 tries', () => {
    let draws = 0;
    const box = randomResizedCropBox({ height: 9, width: 400, scale: [0.9, 1] }, () => {
      draws++;
      return 0.5;
    });
    expect(box).toEqual({ top: 0, left: 194, height: 9, width: 12 });
    expect(draws).toBe(20);
  });

  it('names a bad option or draw', () => {
    const uniform = (): number => 0.5;
    expect(() => randomResizedCropBox({ height: 0, width: 4 }, uniform)).toThrow(
      'randomResizedCropBox: expected height to be an integer >= 1, got 0',
    );
    expect(() => randomResizedCropBox({ height: 4, width: 4, scale: [0.5, 1.5] }, uniform)).toThrow(
      'randomResizedCropBox: expected scale [low, high] with 0 < low <= high <= 1, got [0.5, 1.5]',
    );
    expect(() => randomResizedCropBox({ height: 4, width: 4, ratio: [2, 1] }, uniform)).toThrow(
      'randomResizedCropBox: expected ratio [low, high] with 0 < low <= high, finite, got [2, 1]',
    );
    expect(() => randomResizedCropBox({ height: 4, width: 4 }, () => 1)).toThrow(
      'randomResizedCropBox: expected a draw in [0, 1), got 1',
    );
  });
});

describe('centerCropBox', () => {
  it('takes the largest square by default', () => {
    expect(centerCropBox({ height: 20, width: 28 })).toEqual({
      top: 0,
      left: 4,
      height: 20,
      width: 20,
    });
  });

  it('refuses a square larger than the frame', () => {
    expect(() => centerCropBox({ height: 20, width: 28, size: 24 })).toThrow(
      'centerCropBox: expected size at most 20 for a 20x28 frame, got 24. Try: resizeShortSide first',
    );
  });
});
