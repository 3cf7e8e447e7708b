// SPDX-License-Identifier: Apache-2.0
// From a decoded clip to the patches of one sample: window, augmentation, log-mel, frames, patches. Pure: everything random is drawn from
// the key given, so a sample does not depend on workers, order or prefetching.
import { audioPatches } from '@diffmavil/audio-spectrogram';
import { type Key, fold, uniformStream } from '@diffmavil/core';
import type { DecodedClip } from '@diffmavil/media';
import type { ModelConfig, Preprocessor } from '@diffmavil/model';
import {
  centerCropBox,
  flipHorizontal,
  normalizeFrames,
  patchify,
  randomResizedCropBox,
  resizeCrop,
  sampleFrameIndices,
} from '@diffmavil/video-patchify';
import type { AugmentationConfig } from '../config.ts';
import type { DecodeRequest } from './clip-store.ts';

/** How samples are made; plain data, so that it can be sent to a worker. */
export interface SampleSpec {
  readonly model: Pick<ModelConfig, 'audio' | 'video'>;
  readonly preprocessor: Pick<Preprocessor, 'audio' | 'video'>;
  /** Null: no randomness at all (evaluation): the window starts at 0, the crop is the centre. */
  readonly augmentation: AugmentationConfig | null;
  readonly sharedWindow: boolean;
  readonly maxClipSeconds: number;
}

/** The patches of one clip; a modality the spec leaves out is null. */
export interface Sample {
  /** `[tokens, patchValues]`, time-major. */
  readonly audioPatches: Float32Array | null;
  /** `[tokens, patchValues]`, (t, h, w)-major. */
  readonly videoPatches: Float32Array | null;
}

/** Frames are decoded at twice the rate they are sampled at, and 8/7 of the size they are cropped to (256 for 224). */
export function decodeRequest(spec: SampleSpec): DecodeRequest {
  const { audio, video } = spec.preprocessor;
  return {
    durationSeconds: spec.maxClipSeconds,
    streams: audio !== null && video !== null ? 'both' : audio !== null ? 'audio' : 'video',
    ...(audio !== null ? { sampleRate: audio.sampleRate } : {}),
    ...(video !== null
      ? {
          frameRate: (2 * video.frames) / video.durationSeconds,
          shortSide: Math.round((video.size * 8) / 7),
        }
      : {}),
  };
}

/** @param key Key of this clip in this epoch; unused when `spec.augmentation` is null. */
export function makeSample(clip: DecodedClip, spec: SampleSpec, key: Key): Sample {
  const start = spec.augmentation === null ? 0 : uniformStream(fold(key, 'window'))();
  return {
    audioPatches: spec.preprocessor.audio === null ? null : audioOf(clip, spec, start, key),
    videoPatches: spec.preprocessor.video === null ? null : videoOf(clip, spec, start, key),
  };
}

/** Peak of the uniform spectrogram noise of AudioMAE's loader: 0.1 in normalised units. */
const noisePeak = 0.1;

function audioOf(clip: DecodedClip, spec: SampleSpec, start: number, key: Key): Float32Array {
  const { sampleRate, mels, frames, mean, std } = spec.preprocessor.audio!;
  const { patch, stride } = spec.model.audio!;
  const { roll = false, gain = false, noise = false, specAugment = null } = spec.augmentation ?? {};
  const seconds = clip.waveform.length / clip.sampleRate;
  const first = spec.sharedWindow ? windowStart(spec, seconds, start) * clip.sampleRate : 0;
  const augmentation = {
    roll,
    gain,
    ...(noise ? { noise: { kind: 'uniform', peak: noisePeak } as const } : {}),
    ...(specAugment === null ? {} : { specAugment }),
  };
  return audioPatches(
    clip.waveform.subarray(Math.floor(first)),
    clip.sampleRate,
    { sampleRate, mels, frames, patch, stride, mean, std, augmentation },
    uniformStream(fold(key, 'audio')),
  );
}

function videoOf(clip: DecodedClip, spec: SampleSpec, start: number, key: Key): Float32Array {
  const { frames, size, durationSeconds, mean, std } = spec.preprocessor.video!;
  const { tubelet, patch } = spec.model.video!;
  const { cropScale = null, flip = false } = spec.augmentation ?? {};
  const uniform = uniformStream(fold(key, 'video'));
  const { height, width, frames: available } = clip.frames;
  const { frameRate } = clip;
  const startSeconds = windowStart(spec, available / frameRate, start);
  const indices = sampleFrameIndices({
    available,
    frameRate,
    frames,
    durationSeconds,
    startSeconds,
  });
  const box =
    cropScale === null
      ? centerCropBox({ height, width })
      : randomResizedCropBox({ height, width, scale: cropScale }, uniform);
  let pixels = resizeCrop(selectFrames(clip.frames, indices), box, size);
  if (flip && uniform() < 0.5) pixels = flipHorizontal(pixels, size);
  return patchify(normalizeFrames(pixels, mean, std), { frames, size, tubelet, patch });
}

/** Start of the window in seconds: `start` of the way through the places where a whole window fits. */
function windowStart(spec: SampleSpec, availableSeconds: number, start: number): number {
  const window = spec.preprocessor.video?.durationSeconds ?? availableSeconds;
  return start * Math.max(0, availableSeconds - window);
}

function selectFrames(source: DecodedClip['frames'], indices: Int32Array): DecodedClip['frames'] {
  const { height, width } = source;
  const size = height * width * 3;
  const data = new Uint8Array(indices.length * size);
  indices.forEach((index, i) =>
    data.set(source.data.subarray(index * size, (index + 1) * size), i * size),
  );
  return { data, frames: indices.length, height, width };
}
