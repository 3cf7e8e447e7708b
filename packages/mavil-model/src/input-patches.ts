// SPDX-License-Identifier: Apache-2.0
// From a decoded clip to the patches of one model, as its preprocessor says; no augmentation.
import { audioPatches } from '@diffmavil/audio-spectrogram';
import { ConfigError } from '@diffmavil/core';
import {
  centerCropBox,
  evenStartSeconds,
  normalizeFrames,
  patchify,
  resizeCrop,
  sampleFrameIndices,
} from '@diffmavil/video-patchify';
import type { Frames } from '@diffmavil/video-patchify';

import { audioOf, videoOf } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { Preprocessor } from './preprocessor.ts';

/** What decides how a clip is cut up. */
export interface InputSettings {
  readonly config: ModelConfig;
  readonly preprocessor: Preprocessor;
}

/** Mono waveform in -1..1 at sampleRate Hz -> patches [tokens, patch^2]. Throws ConfigError for a model without audio. */
export function clipAudioPatches(
  { config, preprocessor }: InputSettings,
  { waveform, sampleRate }: { readonly waveform: Float32Array; readonly sampleRate: number },
): Float32Array {
  const { patch, stride } = audioOf(config);
  if (preprocessor.audio === null) throw unprepared('audio');
  return audioPatches(waveform, sampleRate, { ...preprocessor.audio, patch, stride });
}

/**
 * Frames [frames, height, width, 3] at frameRate per second -> patches [tokens, patchValues]: frames spread over
 * preprocessor.durationSeconds in the middle of the clip (a shorter clip loops), centre square, resized.
 * Throws ConfigError for a model without video.
 */
export function clipVideoPatches(
  { config, preprocessor }: InputSettings,
  { frames: clip, frameRate }: { readonly frames: Frames; readonly frameRate: number },
): Float32Array {
  const { frames, size, tubelet, patch } = videoOf(config);
  if (preprocessor.video === null) throw unprepared('video');
  const { durationSeconds, mean, std } = preprocessor.video;
  const span = { available: clip.frames, frameRate, durationSeconds };
  const [startSeconds = 0] = evenStartSeconds(span, 1);
  const indices = sampleFrameIndices({ ...span, frames, startSeconds });
  const box = centerCropBox({ height: clip.height, width: clip.width });
  const pixels = resizeCrop(pickFrames(clip, indices), box, size);
  return patchify(normalizeFrames(pixels, mean, std), { frames, size, tubelet, patch });
}

function pickFrames(clip: Frames, indices: Int32Array): Frames {
  const { height, width } = clip;
  const values = height * width * 3;
  const data = new Float32Array(indices.length * values);
  for (const [i, index] of indices.entries()) {
    data.set(clip.data.subarray(index * values, (index + 1) * values), i * values);
  }
  return { data, frames: indices.length, height, width };
}

function unprepared(modality: Modality): ConfigError {
  return new ConfigError(`model: expected a preprocessor with ${modality}, got ${modality}: null`);
}
