// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  evenStartSeconds,
  sampleFrameIndices,
  sampleFrameTimes,
  startSecondsFor,
} from './sample-frames.ts';
import type { FrameSampling } from './sample-frames.ts';

const clip = { available: 300, frameRate: 30, durationSeconds: 4 };

describe('sampleFrameIndices', () => {
  it('takes 8 frames over 4 s at 2 per second, as the MAViL paper states', () => {
    const indices = sampleFrameIndices({ ...clip, frames: 8, startSeconds: 0 });
    expect(Array.from(indices)).toEqual([0, 15, 30, 45, 60, 75, 90, 105]);
  });

  it('plays a short clip in a loop', () => {
    const sampling = { available: 5, frameRate: 2, durationSeconds: 4, frames: 8, startSeconds: 0 };
    expect(Array.from(sampleFrameIndices(sampling))).toEqual([0, 1, 2, 3, 4, 0, 1, 2]);
  });

  it('wraps when a given start is too late for the whole stretch', () => {
    const sampling = { ...clip, frames: 4, startSeconds: 8 };
    expect(Array.from(sampleFrameIndices(sampling))).toEqual([240, 270, 0, 30]);
  });

  it('repeats frames of a source slower than the sampling', () => {
    const sampling = { available: 4, frameRate: 1, durationSeconds: 4, frames: 8, startSeconds: 0 };
    expect(Array.from(sampleFrameIndices(sampling))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  it('repeats the only frame of a still', () => {
    const sampling = {
      available: 1,
      frameRate: 25,
      durationSeconds: 4,
      frames: 3,
      startUniform: 0.9,
    };
    expect(Array.from(sampleFrameIndices(sampling))).toEqual([0, 0, 0]);
  });

  it('keeps every stretch inside a long clip for any draw', () => {
    const sampling = { ...clip, frames: 16, startUniform: 1 - 2 ** -24 };
    const indices = sampleFrameIndices(sampling);
    // The last start is 6 s = frame 180; the last of 16 steps of 7.5 frames begins at 292.5.
    expect([indices[0], indices[15]]).toEqual([179, 292]);
  });

  it('does not lose a frame to rounding: 0.29 s at 100 frames per second is frame 29', () => {
    const sampling = { available: 100, frameRate: 100, durationSeconds: 0.01, frames: 1 };
    expect(sampleFrameIndices({ ...sampling, startSeconds: 0.29 })[0]).toBe(29);
  });
});

describe('times and starts', () => {
  it('gives the times of the looped frames within the clip', () => {
    const sampling = { available: 5, frameRate: 2, durationSeconds: 4, frames: 8, startSeconds: 0 };
    expect(Array.from(sampleFrameTimes(sampling))).toEqual([0, 0.5, 1, 1.5, 2, 0, 0.5, 1]);
  });

  it('spreads 10 views from the beginning to the last start that fits', () => {
    expect(Array.from(evenStartSeconds(clip, 4))).toEqual([0, 2, 4, 6]);
    expect(evenStartSeconds(clip, 10)[9]).toBe(6);
    expect(Array.from(evenStartSeconds(clip, 1))).toEqual([3]);
    expect(Array.from(evenStartSeconds({ ...clip, available: 60 }, 3))).toEqual([0, 0, 0]);
  });

  it('starts a short clip at its beginning', () => {
    expect(startSecondsFor({ ...clip, available: 119 }, 0.99)).toBe(0);
    expect(startSecondsFor(clip, 0.5)).toBe(3);
  });
});

describe('what cannot be sampled', () => {
  const message = (change: Record<string, unknown>): string => {
    const sampling = { ...clip, frames: 8, startSeconds: 0, ...change } as FrameSampling;
    try {
      sampleFrameIndices(sampling);
    } catch (error) {
      return `${(error as { kind: string }).kind} ${(error as Error).message}`;
    }
    return 'no error';
  };

  it('is named with the value', () => {
    expect(message({ available: 0 })).toBe(
      'Media sampleFrameIndices: expected a clip with at least 1 frame, got available 0',
    );
    expect(message({ frameRate: NaN })).toBe(
      'Media sampleFrameIndices: expected frameRate > 0 and finite, got NaN',
    );
    expect(message({ durationSeconds: 0 })).toBe(
      'Media sampleFrameIndices: expected durationSeconds > 0 and finite, got 0',
    );
    expect(message({ frames: 2.5 })).toBe(
      'Shape sampleFrameIndices: expected frames to be an integer >= 1, got 2.5',
    );
    expect(message({ startSeconds: 10 })).toBe(
      'Media sampleFrameIndices: expected startSeconds in [0, 10), the clip, got 10',
    );
    expect(message({ startSeconds: NaN })).toBe(
      'Media sampleFrameIndices: expected startSeconds in [0, 10), the clip, got NaN',
    );
    expect(message({ startSeconds: undefined, startUniform: 1 })).toBe(
      'Shape sampleFrameIndices: expected startUniform (or startSeconds) in [0, 1), got 1',
    );
    expect(message({ startSeconds: undefined })).toBe(
      'Shape sampleFrameIndices: expected startUniform (or startSeconds) in [0, 1), got undefined',
    );
  });
});
