// SPDX-License-Identifier: Apache-2.0
// From a log-mel spectrogram to what the model reads: pad or cut, normalise, cut into patches; and back.
import type { LogMel } from './log-mel.ts';
import { AudioError, checkCount, checkFinite, checkLength } from './errors.ts';

/**
 * Makes a raw log-mel [frames, mels] exactly `frames` rows long: keeps the first rows, or appends rows of 0.0.
 * 0.0 before normalisation is loud, not silent (+0.467 after AudioSet's): released models were trained with it.
 * Throws {@link AudioError}: `'Config'` for a bad count, `'Shape'` for values that do not match their shape.
 */
export function padOrCut(mel: LogMel, frames: number): LogMel {
  checkCount(frames, 1, 'padOrCut: frames');
  checkLength(mel.values, { frames: mel.frames, mels: mel.mels }, 'padOrCut');
  const values = new Float32Array(frames * mel.mels);
  values.set(mel.values.subarray(0, values.length));
  return { values, frames, mels: mel.mels };
}

function affine(values: Float32Array, scale: number, offset: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = values[i]! * scale + offset;
  return out;
}

function checkStatistics(mean: number, std: number, where: string): void {
  checkFinite(mean, `${where}: mean`);
  if (!(Number.isFinite(std) && std > 0)) {
    throw new AudioError(`${where}: std: expected a finite number > 0, got ${std}`, 'Config');
  }
}

function withValues<M extends LogMel | Float32Array>(
  mel: M,
  change: (values: Float32Array) => Float32Array,
): M {
  if (mel instanceof Float32Array) return change(mel) as M;
  const { values, frames, mels }: LogMel = mel;
  return { values: change(values), frames, mels } as M;
}

/**
 * (x - mean) / (2 std), any shape; the mean and standard deviation are the data set's, over raw log-mel values. Takes and
 * returns a {@link LogMel} or its bare values. The factor 2 is AST's and AudioMAE's, kept for released weights.
 * Throws {@link AudioError}, kind `'Config'`, unless the mean is finite and std > 0.
 */
export function normalize<M extends LogMel | Float32Array>(mel: M, mean: number, std: number): M {
  checkStatistics(mean, std, 'normalize');
  return withValues(mel, (values) => affine(values, 1 / (2 * std), -mean / (2 * std)));
}

/** x * 2 std + mean: the inverse of {@link normalize}, same errors. */
export function denormalize<M extends LogMel | Float32Array>(mel: M, mean: number, std: number): M {
  checkStatistics(mean, std, 'denormalize');
  return withValues(mel, (values) => affine(values, 2 * std, mean));
}

/** Size of a spectrogram and of its square patches. */
export interface PatchGrid {
  /** Rows of the spectrogram, a multiple of `patch`. */
  readonly frames: number;
  /** Columns of the spectrogram, a multiple of `patch`. */
  readonly mels: number;
  /** Side of a patch. */
  readonly patch: number;
}

/** The same for cutting, where patches may overlap. */
export interface OverlappingPatchGrid extends PatchGrid {
  /**
   * Step from one patch to the next in rows and columns; default `patch`. With another step the sides need be no
   * multiple of the patch: tokens = (floor((frames - patch) / stride) + 1) * (floor((mels - patch) / stride) + 1), and
   * what is left over at the ends is not read. [AST §2.1] has patch 16 and stride 10.
   */
  readonly stride?: number;
}

function checkGrid(values: Float32Array, grid: PatchGrid, where: string): void {
  checkCount(grid.patch, 1, `${where}: patch`);
  for (const side of ['frames', 'mels'] as const) {
    checkCount(grid[side], 1, `${where}: ${side}`);
    if (grid[side] % grid.patch !== 0) {
      throw new AudioError(
        `${where}: ${side}: expected a multiple of patch ${grid.patch}, got ${grid[side]}`,
        'Config',
      );
    }
  }
  const tokens = (grid.frames / grid.patch) * (grid.mels / grid.patch);
  const shape =
    where === 'patchify'
      ? { frames: grid.frames, mels: grid.mels }
      : { tokens, patchValues: grid.patch ** 2 };
  checkLength(values, shape, where);
}

/** Copies every patch row: `toPatches` says which side is written. */
function copyPatches(
  spectrogram: Float32Array,
  patches: Float32Array,
  { frames, mels, patch }: PatchGrid,
  toPatches: boolean,
): void {
  let at = 0;
  for (let t = 0; t < frames; t += patch) {
    for (let f = 0; f < mels; f += patch) {
      for (let row = 0; row < patch; row++, at += patch) {
        const start = (t + row) * mels + f;
        if (toPatches) patches.set(spectrogram.subarray(start, start + patch), at);
        else spectrogram.set(patches.subarray(at, at + patch), start);
      }
    }
  }
}

function checkOverlap(values: Float32Array, grid: PatchGrid, stride: number): void {
  const { frames, mels, patch } = grid;
  checkCount(patch, 1, 'patchify: patch');
  checkCount(stride, 1, 'patchify: stride');
  checkCount(frames, patch, 'patchify: frames');
  checkCount(mels, patch, 'patchify: mels');
  checkLength(values, { frames, mels }, 'patchify');
}

function overlappingPatches(
  values: Float32Array,
  { frames, mels, patch }: PatchGrid,
  stride: number,
): Float32Array {
  const rows = Math.floor((frames - patch) / stride) + 1;
  const columns = Math.floor((mels - patch) / stride) + 1;
  const patches = new Float32Array(rows * columns * patch * patch);
  let at = 0;
  for (let token = 0; token < rows * columns; token++) {
    const top = Math.floor(token / columns) * stride;
    const left = (token % columns) * stride;
    for (let row = 0; row < patch; row++, at += patch) {
      const start = (top + row) * mels + left;
      patches.set(values.subarray(start, start + patch), at);
    }
  }
  return patches;
}

/**
 * Spectrogram [frames, mels] -> patches [tokens, patch * patch]. Tokens are time-major, `t * (mels / patch) + f`; inside
 * a patch rows are time and columns frequency, frequency fastest [AudioMAE]. With a `stride` other than `patch`, patches
 * overlap (or leave gaps) and cannot be put together again.
 * Throws {@link AudioError}: `'Config'` when a side is not a multiple of `patch` (with a stride: is shorter than it),
 * `'Shape'` for a wrong number of values.
 */
export function patchify(values: Float32Array, grid: OverlappingPatchGrid): Float32Array {
  const { stride = grid.patch } = grid;
  if (stride !== grid.patch) {
    checkOverlap(values, grid, stride);
    return overlappingPatches(values, grid, stride);
  }
  checkGrid(values, grid, 'patchify');
  const patches = new Float32Array(values.length);
  copyPatches(values, patches, grid, true);
  return patches;
}

/** Patches [tokens, patch * patch] -> spectrogram [frames, mels]: the exact inverse of {@link patchify}, same errors. */
export function unpatchify(patches: Float32Array, grid: PatchGrid): Float32Array {
  checkGrid(patches, grid, 'unpatchify');
  const values = new Float32Array(patches.length);
  copyPatches(values, patches, grid, false);
  return values;
}

/** Front-end settings of one data set. */
export interface AudioDataset {
  /** Mean of the raw log-mel over the training set, padding included. */
  readonly mean: number;
  /** Standard deviation of the same. */
  readonly std: number;
  /** Rows of the model's input. */
  readonly frames: number;
  /** Mask limits of SpecAugment in frames and mels, for fine-tuning: widths are drawn below them. */
  readonly masks: { readonly time: number; readonly frequency: number };
}

/** Statistics and lengths at 16 kHz, 128 mels. [MAViL table 10] [DiffMAViL table 4, §C]; six-digit figures from AST's code. */
export const audioDatasets: {
  readonly [name in 'audioset' | 'vggsound' | 'esc50' | 'speechCommands']: AudioDataset;
} = {
  audioset: { mean: -4.2677393, std: 4.5689974, frames: 1024, masks: { time: 192, frequency: 48 } },
  vggsound: { mean: -5.189, std: 3.26, frames: 1024, masks: { time: 192, frequency: 48 } },
  esc50: { mean: -6.6268077, std: 5.358466, frames: 512, masks: { time: 96, frequency: 24 } },
  speechCommands: { mean: -6.702, std: 5.448, frames: 128, masks: { time: 48, frequency: 48 } },
};
