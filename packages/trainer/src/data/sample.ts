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
  /** Windows of video to take, spread evenly from the clip's start to its end; for evaluation only. Default 1, at the start. */
  readonly windows?: number;
}

/** The other clip of a mixup. */
export interface MixPartner {
  readonly clip: DecodedClip;
  /** Share of the first clip, 0..1. */
  readonly weight: number;
}

/** The patches of one clip; a modality the spec leaves out is null. */
export interface Sample {
  /** `[tokens, patchValues]`, time-major. */
  readonly audioPatches: Float32Array | null;
  /** `[windows, tokens, patchValues]`, tokens (t, h, w)-major. */
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

/**
 * @param key Key of this clip in this epoch; unused when `spec.augmentation` is null.
 * @param partner A clip to mix in: waveforms before the log-mel [AudioMAE], normalised pixels with the same weight [CAV-MAE].
 */
export function makeSample(
  clip: DecodedClip,
  spec: SampleSpec,
  key: Key,
  partner: MixPartner | null = null,
): Sample {
  const { audio, video } = spec.preprocessor;
  return {
    audioPatches: audio === null ? null : audioOf(clip, spec, key, partner),
    videoPatches: video === null ? null : mixedVideoOf(clip, spec, key, partner),
  };
}

/** Where a window lies in its clip, 0 (start) to 1 (end). */
function drawStart(spec: SampleSpec, key: Key): number {
  return spec.augmentation === null ? 0 : uniformStream(fold(key, 'window'))();
}

/** The key of a mixup's other clip. */
function partnerKey(key: Key): Key {
  return fold(key, 'partner');
}

/** Peak of the uniform spectrogram noise of AudioMAE's loader: 0.1 in normalised units. */
const noisePeak = 0.1;

function audioOf(
  clip: DecodedClip,
  spec: SampleSpec,
  key: Key,
  partner: MixPartner | null,
): Float32Array {
  const { sampleRate, mels, frames, mean, std } = spec.preprocessor.audio!;
  const { patch, stride } = spec.model.audio!;
  const { roll = false, gain = false, noise = false, specAugment = null } = spec.augmentation ?? {};
  const augmentation = {
    roll,
    gain,
    ...(noise ? { noise: { kind: 'uniform', peak: noisePeak } as const } : {}),
    ...(specAugment === null ? {} : { specAugment }),
  };
  const other = partner === null ? null : waveformOf(partner.clip, spec, partnerKey(key));
  const mixup = partner && other && { ...other, weight: partner.weight };
  const own = waveformOf(clip, spec, key);
  return audioPatches(
    own.waveform,
    own.sampleRate,
    { sampleRate, mels, frames, patch, stride, mean, std, augmentation, ...(mixup && { mixup }) },
    uniformStream(fold(key, 'audio')),
  );
}

/** The sound of a clip, or of the video's window and what follows. */
function waveformOf(
  { waveform, sampleRate }: DecodedClip,
  spec: SampleSpec,
  key: Key,
): Pick<DecodedClip, 'waveform' | 'sampleRate'> {
  const seconds = waveform.length / sampleRate;
  const start = spec.sharedWindow ? windowStart(spec, seconds, drawStart(spec, key)) : 0;
  return { waveform: waveform.subarray(Math.floor(start * sampleRate)), sampleRate };
}

function mixedVideoOf(
  clip: DecodedClip,
  spec: SampleSpec,
  key: Key,
  partner: MixPartner | null,
): Float32Array {
  const windows = spec.windows ?? 1;
  if (windows > 1) {
    const all = Array.from({ length: windows }, (_, i) =>
      videoOf(clip, spec, i / (windows - 1), key),
    );
    const joined = new Float32Array(windows * all[0]!.length);
    all.forEach((patches, i) => joined.set(patches, i * patches.length));
    return joined;
  }
  const own = videoOf(clip, spec, drawStart(spec, key), key);
  if (partner === null) return own;
  const keyOfOther = partnerKey(key);
  const other = videoOf(partner.clip, spec, drawStart(spec, keyOfOther), keyOfOther);
  const { weight } = partner;
  return own.map((value, i) => weight * value + (1 - weight) * other[i]!);
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
