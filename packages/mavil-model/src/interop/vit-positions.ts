// SPDX-License-Identifier: Apache-2.0
// Where the patches of an image or spectrogram model go: onto our audio grid or into video, with kernel and position
// tables turned to match.
import type { AudioConfig, Modality, VideoConfig } from '../config.ts';
import { sinCosPositions1d } from '../positions.ts';
import {
  inflatedKernel,
  monoKernel,
  reshaped,
  resizedTable,
  separableTable,
  timeMajorTable,
  transposed,
  tubeletKernel,
} from './arrays.ts';
import type { Values } from './arrays.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import type { ConvertOptions } from './mapping.ts';
import { refuseOther } from './mapping.ts';
import { audioSize, numberIn, squareSide, timmInputSize } from './sizes.ts';

/** A grid of patches in our terms. */
export interface Placement {
  readonly modality: Modality;
  readonly audio: Partial<AudioConfig> | null;
  readonly video: Partial<VideoConfig> | null;
  /** Convolution kernel -> patch embedding [out, patchValues]. */
  readonly kernel: (kernel: Values) => Values;
  /** Position table of patch tokens, whatever its width -> ours [1, tokens, width]. */
  readonly table: (table: Values) => Values;
  /** Whether the values of a patch are the source's, so that its decoder still fits. */
  readonly samePatches: boolean;
  /** Whether what goes in is what the source was made for, so that its classes still mean something. */
  readonly sameInputs: boolean;
}

/** Reads the grid of a two-axis patch kernel [out, channels, rows, columns] with `tokens` positions. */
export function placePatches(
  weights: ForeignWeights,
  kernel: readonly number[],
  tokens: number,
  { frequencyMajor, ...options }: ConvertOptions & { readonly frequencyMajor: boolean },
): Placement {
  const [, channels, rows, columns] = kernel;
  const patch = rows ?? 0;
  if (rows !== columns || (channels !== 1 && channels !== 3)) {
    weights.fail('square patches of 1 or 3 channels', `a kernel [${kernel.join(', ')}]`);
  }
  if (channels === 1) {
    refuseOther(weights, options, 'audio');
    return placeAudio(weights, patch, tokens, frequencyMajor);
  }
  return placeImage(weights, patch, tokens, options);
}

function placeAudio(
  weights: ForeignWeights,
  patch: number,
  tokens: number,
  frequencyMajor: boolean,
): Placement {
  const strides = ['time_stride', 'frequency_stride'].map((name) => numberIn(weights, name));
  const stride = strides[0] ?? (frequencyMajor ? likelyStride(tokens) : patch);
  if (strides[1] !== null && strides[1] !== stride) {
    weights.fail('one stride along time and frequency', `${stride} and ${strides[1]}`);
  }
  const size = audioSize(weights, tokens, patch, stride);
  return {
    modality: 'audio',
    audio: { frames: size.frames, mels: size.mels, patch, stride },
    video: null,
    kernel: (kernel) => audioKernel(kernel, frequencyMajor),
    table: (table) =>
      frequencyMajor ? timeMajorTable(table, size.frequencies, size.times) : table,
    samePatches: true,
    sameInputs: true,
  };
}

/** Without a config.json: the stride of AST's published models, 10, where 12 frequencies fit the positions, else 16. */
function likelyStride(tokens: number): number {
  return tokens % 12 === 0 ? 10 : 16;
}

/** [out, 1, rows, columns] -> [out, patch^2] with time rows. */
export function audioKernel(kernel: Values, frequencyMajor: boolean): Values {
  const [out = 0] = kernel.shape;
  const timeRows = frequencyMajor ? transposed(kernel, [0, 1, 3, 2]) : kernel;
  return reshaped(timeRows, out, kernel.data.length / out);
}

function placeImage(
  weights: ForeignWeights,
  patch: number,
  tokens: number,
  { as, inflate = 'average' }: ConvertOptions,
): Placement {
  const input = timmInputSize(weights);
  const side =
    input !== null && input[1] === input[2] && ((input[1] ?? 0) / patch) ** 2 === tokens
      ? (input[1] ?? 0) / patch
      : squareSide(weights, tokens, 'an image model');
  if (as === 'audio') return imageAsAudio(weights, patch, side);
  const frames = as === undefined ? 1 : (numberIn(weights, 'num_frames') ?? 16);
  const tubelet = as === undefined ? 1 : (numberIn(weights, 'tubelet_size') ?? 2);
  const times = frames / tubelet;
  return {
    modality: 'video',
    audio: null,
    // The decoder of an image model predicts one picture for each patch, whatever the patch spans.
    video: { frames, size: side * patch, tubelet, patch, predictFrames: times },
    kernel: (kernel) => tubeletKernel(inflatedKernel(kernel, tubelet, inflate)),
    table: (table) => (times === 1 ? table : separableTable(table, timeTable(table, times))),
    samePatches: true,
    sameInputs: as === undefined,
  };
}

function timeTable(table: Values, times: number): Values {
  const width = table.shape[2] ?? 0;
  return { shape: [1, times, width], data: sinCosPositions1d(width, times) };
}

function imageAsAudio(weights: ForeignWeights, patch: number, side: number): Placement {
  const mels = numberIn(weights, 'num_mel_bins') ?? 128;
  const frames = numberIn(weights, 'max_length') ?? 1024;
  return {
    modality: 'audio',
    audio: { frames, mels, patch },
    video: null,
    kernel: (kernel) => audioKernel(monoKernel(kernel), false),
    table: (table) => resizedTable(table, [side, side], [frames / patch, mels / patch]),
    samePatches: false,
    sameInputs: false,
  };
}
