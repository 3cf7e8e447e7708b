// SPDX-License-Identifier: Apache-2.0
// The whole front end in one call: waveform at any rate -> normalised patches, augmented on request.
import {
  addNoise,
  drawFrameRoll,
  drawGain,
  drawNoise,
  drawRoll,
  drawSpecAugment,
  mixWaveforms,
  rollFrames,
  rollWaveform,
  scaleWaveform,
  specAugment,
} from './augment.ts';
import type { SpectrogramNoise } from './augment.ts';
import type { Samples, Uniform } from './errors.ts';
import { AudioError } from './errors.ts';
import type { LogMel } from './log-mel.ts';
import { logMel } from './log-mel.ts';
import { resample } from './resample.ts';
import { normalize, padOrCut, patchify } from './spectrogram.ts';

/** What to augment; everything is off unless named. Draws are taken in the order of the fields, only by what is on. */
export interface AudioAugmentation {
  /** Cyclic shift of the waveform by a random number of samples; default false. */
  readonly roll?: boolean;
  /** Random gain, Beta(10, 10) + 0.5; default false. */
  readonly gain?: boolean;
  /** SpecAugment with these mask limits (frames, mels); default off. */
  readonly specAugment?: { readonly time: number; readonly frequency: number };
  /** Noise on the normalised spectrogram; default off. */
  readonly noise?: SpectrogramNoise;
  /** Cyclic shift of the spectrogram, -limit..limit - 1 frames; default 0, off. */
  readonly frameRoll?: number;
}

/** Settings of {@link audioPatches}. */
export interface AudioPatchOptions {
  /** Rate the spectrogram is made at, in Hz; default 16000. */
  readonly sampleRate?: number;
  /** Rows of the spectrogram; default 1024. */
  readonly frames?: number;
  /** Columns of the spectrogram; default 128. */
  readonly mels?: number;
  /** Side of a patch; default 16. */
  readonly patch?: number;
  /** Step from one patch to the next; default `patch`. */
  readonly stride?: number;
  /** Mean of the data set's raw log-mel, see `audioDatasets`. */
  readonly mean: number;
  /** Standard deviation of the same. */
  readonly std: number;
  /** Default: none. */
  readonly augmentation?: AudioAugmentation;
  /** Another clip to mix in, rolled and scaled like the first with draws of its own; default: none. */
  readonly mixup?: WaveformMixup;
}

/** The other clip of a mixup: mono samples at `sampleRate` Hz; `weight` is the share of the first clip, 0..1. */
export interface WaveformMixup {
  readonly waveform: Samples;
  readonly sampleRate: number;
  readonly weight: number;
}

function isOn({ roll, gain, specAugment, noise, frameRoll }: AudioAugmentation): boolean {
  return [roll, gain, specAugment, noise, frameRoll].some(Boolean);
}

function noDraws(): never {
  throw new AudioError(
    'audioPatches: expected a stream of draws with options.augmentation, got none. ' +
      'Try: pass uniform, a function returning numbers in [0, 1)',
    'Config',
  );
}

function augmentWaveform(
  waveform: Samples,
  { roll = false, gain = false }: AudioAugmentation,
  uniform: Uniform,
): Samples {
  const rolled = roll ? rollWaveform(waveform, drawRoll(waveform.length, uniform)) : waveform;
  return gain ? scaleWaveform(rolled, drawGain(uniform)) : rolled;
}

function augmentNormalized(
  mel: LogMel,
  { noise, frameRoll = 0 }: AudioAugmentation,
  uniform: Uniform,
): LogMel {
  const noisy = noise === undefined ? mel : addNoise(mel, drawNoise(mel, noise, uniform));
  return frameRoll === 0 ? noisy : rollFrames(noisy, drawFrameRoll(frameRoll, uniform));
}

/**
 * Mono waveform [samples] at `sampleRate` Hz -> normalised patches [tokens, patch * patch], tokens = (frames / patch) *
 * (mels / patch), more where a stride makes them overlap. Order: resample, roll, gain, log-mel, pad or cut, SpecAugment, normalise, noise, frame roll, patches
 * [AudioMAE]. `uniform` is the clip's stream of draws in [0, 1), needed only when something is augmented.
 * Throws {@link AudioError} as the steps do, and kind `'Config'` when draws are needed and missing.
 */
export function audioPatches(
  waveform: Samples,
  sampleRate: number,
  options: AudioPatchOptions,
  uniform?: Uniform,
): Float32Array {
  const { frames = 1024, mels = 128, patch = 16, stride = patch, augmentation = {} } = options;
  const melRate = options.sampleRate ?? 16_000;
  const draws = uniform ?? noDraws;
  if (uniform === undefined && isOn(augmentation)) noDraws();
  const prepared = (own: Samples, rate: number): Samples => {
    const samples = rate === melRate ? own : resample(own, rate, melRate);
    return samples.length === 0 ? samples : augmentWaveform(samples, augmentation, draws);
  };
  const first = prepared(waveform, sampleRate);
  const other = options.mixup;
  const mixed =
    other === undefined
      ? first
      : mixWaveforms(first, prepared(other.waveform, other.sampleRate), other.weight);
  const raw = padOrCut(logMel(mixed, { sampleRate: melRate, mels }), frames);
  const limits = augmentation.specAugment;
  const masked = limits === undefined ? raw : specAugment(raw, drawSpecAugment(raw, limits, draws));
  const normalized = normalize(masked, options.mean, options.std);
  return patchify(augmentNormalized(normalized, augmentation, draws).values, {
    frames,
    mels,
    patch,
    stride,
  });
}
