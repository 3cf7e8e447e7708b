// SPDX-License-Identifier: Apache-2.0
// A decoder may predict fewer frames than the clip has: mae_st (`pred_t_dim`) keeps 8 of 16, one
// per tubelet, which halves the values per token. [DiffMAViL Table 5 fits 768 values per token, not
// 1536]
import { checkCounts, checkMultiple, VideoError } from './errors.ts';
import { channels } from './frames.ts';

/** Sizes of a clip's patches and the number of its frames that are predicted. */
export interface FrameSelection {
  /** Frames in the clip; a multiple of `tubelet`. */
  readonly frames: number;
  /** Frames per token. */
  readonly tubelet: number;
  /** Height and width of a token in pixels. */
  readonly patch: number;
  /** Frames kept: a multiple of frames / tubelet, at most `frames`. */
  readonly predictFrames: number;
}

/**
 * The frames that are predicted: trunc(linspace(0, frames - 1, predictFrames)) in exact arithmetic;
 * 8 of 16 are 0, 2, 4, 6, 8, 10, 12, 15. A single frame is frame 0.
 */
export function predictedFrameIndices(frames: number, predictFrames: number): Int32Array {
  checkCounts('predictedFrameIndices', { frames, predictFrames });
  if (predictFrames > frames) {
    throw new VideoError(
      'Shape',
      `predictedFrameIndices: expected predictFrames at most frames ${frames}, got ${predictFrames}`,
    );
  }
  const last = Math.max(predictFrames - 1, 1);
  return Int32Array.from({ length: predictFrames }, (_, i) =>
    Math.floor((i * (frames - 1)) / last),
  );
}

/**
 * Keeps, of each token, the values of its predicted frames; a copy when all are.
 *
 * With m = predictFrames / (frames / tubelet) frames per token, the selection always has exactly m
 * frames in each tubelet, so the result is also `patchify` of the selected frames with tubelet m:
 * `unpatchify(…, {frames: predictFrames, size, tubelet: m, patch})` shows it.
 *
 * @param patches [tokens, tubelet * patch * patch * 3], as from `patchify`
 * @returns [tokens, m * patch * patch * 3]
 */
export function predictedFrames(patches: Float32Array, selection: FrameSelection): Float32Array {
  const where = 'predictedFrames';
  const { frames, tubelet, patch, predictFrames } = selection;
  checkCounts(where, { frames, tubelet, patch, predictFrames });
  checkMultiple(where, ['frames', frames], ['tubelet', tubelet]);
  const times = frames / tubelet;
  checkMultiple(where, ['predictFrames', predictFrames], ['frames / tubelet', times]);
  const indices = predictedFrameIndices(frames, predictFrames);
  const planeValues = patch * patch * channels;
  const clipValues = times * tubelet * planeValues;
  checkMultiple(
    where,
    ['the number of values', patches.length],
    ['frames * patch^2 * 3 =', clipValues],
  );
  const tokensPerTime = patches.length / clipValues;
  const kept = predictFrames / times;
  const output = new Float32Array(times * tokensPerTime * kept * planeValues);
  let to = 0;
  for (let token = 0; token < times * tokensPerTime; token++) {
    const time = Math.floor(token / tokensPerTime);
    for (let plane = 0; plane < kept; plane++) {
      const within = indices[time * kept + plane]! - time * tubelet;
      const from = (token * tubelet + within) * planeValues;
      for (let i = 0; i < planeValues; i++) output[to + i] = patches[from + i]!;
      to += planeValues;
    }
  }
  return output;
}
