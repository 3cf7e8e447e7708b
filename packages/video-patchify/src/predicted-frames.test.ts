// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { patchify, unpatchify } from './patchify.ts';
import { predictedFrameIndices, predictedFrames } from './predicted-frames.ts';

describe('predictedFrameIndices', () => {
  it('keeps frames 0, 2, …, 12, 15 of 16, as mae_st does', () => {
    expect(Array.from(predictedFrameIndices(16, 8))).toEqual([0, 2, 4, 6, 8, 10, 12, 15]);
  });

  it('keeps the same number of frames in every tubelet, for all sizes up to 48 frames', () => {
    for (let tubelet = 1; tubelet <= 6; tubelet++) {
      for (let times = 1; times <= 8; times++) {
        for (let kept = 1; kept <= tubelet; kept++) {
          const indices = predictedFrameIndices(times * tubelet, times * kept);
          const tubelets = Array.from(indices, (frame) => Math.floor(frame / tubelet));
          const expected = Array.from(indices, (_, i) => Math.floor(i / kept));
          expect(tubelets).toEqual(expected);
        }
      }
    }
  });

  it('refuses more frames than there are', () => {
    expect(() => predictedFrameIndices(4, 5)).toThrow(
      'predictedFrameIndices: expected predictFrames at most frames 4, got 5',
    );
  });
});

describe('predictedFrames', () => {
  const grid = { frames: 4, size: 4, tubelet: 2, patch: 2 };
  const values = Float32Array.from({ length: 4 * 4 * 4 * 3 }, (_, i) => i);
  const patches = patchify(values, grid);

  it('is the clip of the kept frames, which unpatchify shows', () => {
    const kept = predictedFrames(patches, { ...grid, predictFrames: 2 });
    const clip = unpatchify(kept, { frames: 2, size: 4, tubelet: 1, patch: 2 });
    expect(clip.subarray(0, 48)).toEqual(values.subarray(0, 48));
    expect(clip.subarray(48)).toEqual(values.subarray(3 * 48));
  });

  it('copies when every frame is predicted', () => {
    const all = predictedFrames(patches, { ...grid, predictFrames: 4 });
    expect(all).toEqual(patches);
    expect(all).not.toBe(patches);
  });

  it('names a selection or a length that does not fit', () => {
    expect(() => predictedFrames(patches, { ...grid, predictFrames: 3 })).toThrow(
      'predictedFrames: expected predictFrames to be a multiple of frames / tubelet 2, got 3',
    );
    expect(() => predictedFrames(patches, { ...grid, predictFrames: 6 })).toThrow(
      'predictedFrameIndices: expected predictFrames at most frames 4, got 6',
    );
    expect(() => predictedFrames(patches, { ...grid, frames: 3, predictFrames: 3 })).toThrow(
      'predictedFrames: expected frames to be a multiple of tubelet 2, got 3',
    );
    expect(() => predictedFrames(patches.subarray(1), { ...grid, predictFrames: 2 })).toThrow(
      'predictedFrames: expected the number of values to be a multiple of frames * patch^2 * 3 = 48, got 191',
    );
  });
});
