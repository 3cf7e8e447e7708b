// SPDX-License-Identifier: Apache-2.0
// How files become patches for one model, and how to read its logits: the content of preprocessor.json.
import { CheckpointError } from '@diffmavil/core';
import { z } from 'zod';

import type { ModelConfig } from './config.ts';

export interface AudioPreprocessor {
  /** Rate the spectrogram is made at, Hz. */
  readonly sampleRate: number;
  /** Log-mel columns; those of config.audio. */
  readonly mels: number;
  /** Log-mel rows; those of config.audio. */
  readonly frames: number;
  /** Mean of raw log-mel over the training set; input is (x - mean) / (2 std). */
  readonly mean: number;
  /** Standard deviation of the same, above 0. */
  readonly std: number;
}

export interface VideoPreprocessor {
  /** Frames per clip; those of config.video. */
  readonly frames: number;
  /** Side of the square frame in pixels; that of config.video. */
  readonly size: number;
  /** Stretch of the clip the frames are spread over, seconds. */
  readonly durationSeconds: number;
  /** Per channel, of pixels scaled to 0..1; input is (x / 255 - mean) / std. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export interface Preprocessor {
  readonly audio: AudioPreprocessor | null;
  readonly video: VideoPreprocessor | null;
  /** Class names in the order of the logits; null without a classification head. */
  readonly labels: readonly string[] | null;
  /** Softmax ('single-label') or sigmoid ('multi-label') of the logits; null without labels. */
  readonly task: 'single-label' | 'multi-label' | null;
}

/** AudioSet statistics [DiffMAViL Table 4], 16 kHz; ImageNet statistics, 4 seconds [MAViL §B]; no labels. */
export function defaultPreprocessor(config: ModelConfig): Preprocessor {
  const { audio, video } = config;
  return {
    audio: audio && {
      sampleRate: 16000,
      mels: audio.mels,
      frames: audio.frames,
      mean: -4.2677393,
      std: 4.5689974,
    },
    video: video && {
      frames: video.frames,
      size: video.size,
      durationSeconds: 4,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    },
    labels: null,
    task: null,
  };
}

const count = z.int().min(1);
const triple = z.tuple([z.number(), z.number(), z.number()]);
const positives = z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]);
const schema = z.strictObject({
  audio: z
    .strictObject({
      sampleRate: z.number().positive(),
      mels: count,
      frames: count,
      mean: z.number(),
      std: z.number().positive(),
    })
    .nullable(),
  video: z
    .strictObject({
      frames: count,
      size: count,
      durationSeconds: z.number().positive(),
      mean: triple,
      std: positives,
    })
    .nullable(),
  labels: z.array(z.string()).min(1).nullable(),
  task: z.enum(['single-label', 'multi-label']).nullable(),
});

/**
 * Checks parsed JSON against the form of a preprocessor and against the model's sizes.
 * Throws CheckpointError naming `source` and every fault.
 */
export function checkPreprocessor(
  value: unknown,
  config: ModelConfig,
  source: string,
): Preprocessor {
  const result = schema.safeParse(value);
  const faults = result.success
    ? disagreements(result.data, config)
    : result.error.issues.map(
        ({ path, message }) => `${path.join('.') || 'all of it'}: ${message}`,
      );
  if (!result.success || faults.length > 0) {
    throw new CheckpointError(
      `${source}: expected a preprocessor that fits the model, got ${faults.join('; ')}`,
    );
  }
  return result.data;
}

function disagreements(preprocessor: Preprocessor, config: ModelConfig): string[] {
  const pairs: [string, number | undefined, number | undefined][] = [
    ['audio.mels', preprocessor.audio?.mels, config.audio?.mels],
    ['audio.frames', preprocessor.audio?.frames, config.audio?.frames],
    ['video.frames', preprocessor.video?.frames, config.video?.frames],
    ['video.size', preprocessor.video?.size, config.video?.size],
  ];
  const faults = pairs
    .filter(([, ours, models]) => ours !== models)
    .map(([name, ours, models]) => `${name}: ${ours ?? 'null'} instead of ${models ?? 'null'}`);
  if ((preprocessor.labels === null) !== (preprocessor.task === null)) {
    faults.push('labels and task: one of them null');
  }
  return faults;
}
