// SPDX-License-Identifier: Apache-2.0
// Which frames of a decoded clip become the model's input: T frames spread over D seconds from a
// start that is drawn or given. Everything is computed in source frames; draws come in as numbers
// in [0, 1).
import { checkCounts, checkUniform, VideoError } from './errors.ts';

/** A clip and the stretch of it that one input covers. */
export interface ClipSpan {
  /** Decoded frames in the clip, >= 1. */
  readonly available: number;
  /** Source frames per second, > 0. */
  readonly frameRate: number;
  /** Length of the sampled stretch in seconds, > 0. [DiffMAViL §C] uses 4. */
  readonly durationSeconds: number;
}

/** Where the stretch begins: drawn (`startUniform` in [0, 1)) or given (seconds into the clip). */
export type FrameStart =
  | { readonly startUniform: number; readonly startSeconds?: never }
  | { readonly startSeconds: number; readonly startUniform?: never };

/** What to sample: `frames` is T, the number of frames of one input, >= 1. */
export type FrameSampling = ClipSpan & FrameStart & { readonly frames: number };

// Positions that should be whole frames may come out 1e-15 short of them.
const frameNudge = 1e-6;

/**
 * Start in seconds for a draw in [0, 1): uniform over the starts that keep the whole stretch inside
 * the clip, 0 when the clip is shorter than the stretch. [mae_st util/decoder, MAViL §B]
 */
export function startSecondsFor(span: ClipSpan, startUniform: number): number {
  checkSpan('startSecondsFor', span);
  checkUniform('startSecondsFor', 'startUniform', startUniform);
  return startUniform * slackSeconds(span);
}

/**
 * `views` starts in seconds, evenly spaced from 0 to the last start that fits, for averaging
 * predictions over a clip; one view sits in the middle. [MAViL §B uses 10]
 */
export function evenStartSeconds(span: ClipSpan, views: number): Float64Array {
  checkSpan('evenStartSeconds', span);
  checkCounts('evenStartSeconds', { views });
  const slack = slackSeconds(span);
  if (views === 1) return Float64Array.of(slack / 2);
  return Float64Array.from({ length: views }, (_, view) => (slack * view) / (views - 1));
}

/**
 * Times of the sampled frames in seconds, each in [0, clip length): start + i * durationSeconds /
 * frames, wrapped around the clip when it ends first (a short clip plays in a loop). [MAViL §B]
 */
export function sampleFrameTimes(sampling: FrameSampling): Float64Array {
  const positions = samplePositions('sampleFrameTimes', sampling);
  return positions.map((position) => (position % sampling.available) / sampling.frameRate);
}

/**
 * Indices of the sampled frames, each in [0, available): the frame on screen at each sampled time.
 *
 * Choice: steps of durationSeconds / frames, so 8 frames over 4 s are 2 per second as in [MAViL
 * §B]; mae_st instead puts the last frame on the last source frame of the stretch. When the source
 * has fewer frames than are asked for, frames repeat.
 */
export function sampleFrameIndices(sampling: FrameSampling): Int32Array {
  const positions = samplePositions('sampleFrameIndices', sampling);
  const { available } = sampling;
  return Int32Array.from(positions, (position) => Math.floor(position + frameNudge) % available);
}

/** Sampled positions in source frames, not yet wrapped. */
function samplePositions(where: string, sampling: FrameSampling): Float64Array {
  checkSpan(where, sampling);
  const { available, frameRate, frames, durationSeconds } = sampling;
  checkCounts(where, { frames });
  const start = startSeconds(where, sampling) * frameRate;
  if (!(start >= 0 && start < available)) {
    throw new VideoError(
      'Media',
      `${where}: expected startSeconds in [0, ${available / frameRate}), the clip, ` +
        `got ${sampling.startSeconds}`,
    );
  }
  const step = (durationSeconds * frameRate) / frames;
  return Float64Array.from({ length: frames }, (_, frame) => start + frame * step);
}

function startSeconds(where: string, sampling: FrameSampling): number {
  if (sampling.startSeconds !== undefined) return sampling.startSeconds;
  checkUniform(where, 'startUniform (or startSeconds)', sampling.startUniform);
  return sampling.startUniform * slackSeconds(sampling);
}

function slackSeconds({ available, frameRate, durationSeconds }: ClipSpan): number {
  return Math.max(available / frameRate - durationSeconds, 0);
}

function checkSpan(where: string, { available, frameRate, durationSeconds }: ClipSpan): void {
  if (!Number.isSafeInteger(available) || available < 1) {
    throw new VideoError(
      'Media',
      `${where}: expected a clip with at least 1 frame, got available ${available}`,
    );
  }
  for (const [name, value] of Object.entries({ frameRate, durationSeconds })) {
    if (!(value > 0 && value < Infinity)) {
      throw new VideoError('Media', `${where}: expected ${name} > 0 and finite, got ${value}`);
    }
  }
}
