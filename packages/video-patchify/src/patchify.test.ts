// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { VideoError } from './errors.ts';
import { patchify, unpatchify } from './patchify.ts';

describe('patchify', () => {
  it('orders tokens by time, row, column and values by frame, row, column, channel', () => {
    const grid = { frames: 4, size: 6, tubelet: 2, patch: 3 };
    const values = Float32Array.from({ length: 4 * 6 * 6 * 3 }, (_, i) => i);
    const patches = patchify(values, grid);
    const at = (frame: number, y: number, x: number, channel: number): number =>
      ((frame * 6 + y) * 6 + x) * 3 + channel;
    // Token 6 = (time 1, row 1, column 0); its value 41 = (frame 1, row 1, column 1, channel 2).
    expect(patches[6 * 54 + 41]).toBe(at(2 + 1, 3 + 1, 0 + 1, 2));
    expect(patches[0]).toBe(0);
    expect(patches[1 * 54]).toBe(at(0, 0, 3, 0));
    expect(patches[4 * 54 + 27]).toBe(at(3, 0, 0, 0));
  });

  it('gives 1568 tokens of 1536 values for 16 frames of 224 and comes back exactly', () => {
    const grid = { frames: 16, size: 224, tubelet: 2, patch: 16 };
    const values = Float32Array.from({ length: 16 * 224 * 224 * 3 }, (_, i) => (i * 7919) % 1021);
    const patches = patchify(values, grid);
    expect(patches.length).toBe(1568 * 1536);
    expect(Buffer.from(unpatchify(patches, grid).buffer).equals(Buffer.from(values.buffer))).toBe(
      true,
    );
  });

  it('copies when a patch is one pixel of one frame', () => {
    const values = Float32Array.from({ length: 2 * 2 * 2 * 3 }, (_, i) => i);
    expect(patchify(values, { frames: 2, size: 2, tubelet: 1, patch: 1 })).toEqual(values);
  });

  it('names a grid or a length that does not fit', () => {
    const grid = { frames: 4, size: 6, tubelet: 2, patch: 3 };
    const values = new Float32Array(432);
    expect(() => patchify(values, { ...grid, frames: 3 })).toThrow(
      'patchify: expected frames to be a multiple of tubelet 2, got 3',
    );
    expect(() => patchify(values, { ...grid, patch: 4 })).toThrow(
      'patchify: expected size to be a multiple of patch 4, got 6',
    );
    expect(() => patchify(values, { ...grid, tubelet: 0 })).toThrow(
      'patchify: expected tubelet to be an integer >= 1, got 0',
    );
    expect(() => patchify(new Float32Array(431), grid)).toThrow(
      'patchify: expected [frames, size, size, channels] = [4, 6, 6, 3] (432 values), got 431 values',
    );
    expect(() => unpatchify(new Float32Array(8), grid)).toThrow(
      new VideoError(
        'Shape',
        'unpatchify: expected [tokens, patchValues] = [8, 54] (432 values), got 8 values',
      ),
    );
  });
});
