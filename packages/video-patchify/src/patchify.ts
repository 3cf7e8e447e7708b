// SPDX-License-Identifier: Apache-2.0
// Frames to tubelet patches and back: a pure reordering, so the round trip is exact. A token is
// `tubelet` frames of a `patch` x `patch` square; tokens run (time, row, column), values (u, row,
// column, channel) with the channel fastest. [mae_st models_mae.py]
import { checkCounts, checkLength, checkMultiple } from './errors.ts';
import { channels } from './frames.ts';

/** Sizes of a square clip and of its patches. */
export interface PatchGrid {
  /** Frames in the clip; a multiple of `tubelet`. */
  readonly frames: number;
  /** Height and width of a frame in pixels; a multiple of `patch`. */
  readonly size: number;
  /** Frames per token. */
  readonly tubelet: number;
  /** Height and width of a token in pixels. */
  readonly patch: number;
}

/**
 * [frames, size, size, 3] -> [tokens, patchValues], tokens = (frames / tubelet) * (size / patch)^2
 * and patchValues = tubelet * patch^2 * 3.
 */
export function patchify(values: Float32Array, grid: PatchGrid): Float32Array {
  checkGrid('patchify', grid);
  const { frames, size } = grid;
  checkLength('patchify', values.length, [
    ['frames', frames],
    ['size', size],
    ['size', size],
    ['channels', channels],
  ]);
  const output = new Float32Array(values.length);
  forEachSegment(grid, (frameOffset, patchOffset, length) => {
    for (let i = 0; i < length; i++) output[patchOffset + i] = values[frameOffset + i]!;
  });
  return output;
}

/** [tokens, patchValues] -> [frames, size, size, 3], the inverse of `patchify`. */
export function unpatchify(patches: Float32Array, grid: PatchGrid): Float32Array {
  checkGrid('unpatchify', grid);
  const { frames, size, tubelet, patch } = grid;
  checkLength('unpatchify', patches.length, [
    ['tokens', (frames / tubelet) * (size / patch) ** 2],
    ['patchValues', tubelet * patch * patch * channels],
  ]);
  const output = new Float32Array(patches.length);
  forEachSegment(grid, (frameOffset, patchOffset, length) => {
    for (let i = 0; i < length; i++) output[frameOffset + i] = patches[patchOffset + i]!;
  });
  return output;
}

/** Visits each run of patch * 3 values that is contiguous in both layouts, in frame order. */
function forEachSegment(
  { frames, size, tubelet, patch }: PatchGrid,
  visit: (frameOffset: number, patchOffset: number, length: number) => void,
): void {
  const side = size / patch;
  const length = patch * channels;
  const patchValues = tubelet * patch * length;
  let frameOffset = 0;
  for (let frame = 0; frame < frames; frame++) {
    const time = Math.floor(frame / tubelet);
    for (let y = 0; y < size; y++) {
      const rowOfTokens = (time * side + Math.floor(y / patch)) * side;
      const within = ((frame % tubelet) * patch + (y % patch)) * length;
      for (let column = 0; column < side; column++) {
        visit(frameOffset, (rowOfTokens + column) * patchValues + within, length);
        frameOffset += length;
      }
    }
  }
}

function checkGrid(where: string, { frames, size, tubelet, patch }: PatchGrid): void {
  checkCounts(where, { frames, size, tubelet, patch });
  checkMultiple(where, ['frames', frames], ['tubelet', tubelet]);
  checkMultiple(where, ['size', size], ['patch', patch]);
}
