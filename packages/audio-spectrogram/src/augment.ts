// SPDX-License-Identifier: Apache-2.0
// Augmentations. Each one is two functions: `draw...` turns a stream of uniform draws into plain
// numbers, and the transform applies those numbers. Both are pure, so a clip's augmentation depends
// on its key alone; draws are always taken in the same number and order.
import type { LogMel } from './log-mel.ts';
import type { Samples, Uniform } from './errors.ts';
import { AudioError, checkCount, checkFinite, checkLength } from './errors.ts';

/** A random whole number 0..count - 1. */
function drawInteger(count: number, uniform: Uniform): number {
  return Math.floor(uniform() * count);
}

/** `values` moved cyclically by `shift` places towards the end; result[i] = values[i - shift]. */
function roll(values: Samples, shift: number): Float32Array {
  const out = new Float32Array(values.length);
  if (values.length === 0) return out;
  const start = ((shift % values.length) + values.length) % values.length;
  out.set(values.subarray(values.length - start), 0);
  out.set(values.subarray(0, values.length - start), start);
  return out;
}

function checkShift(shift: number, where: string): void {
  if (!Number.isSafeInteger(shift)) {
    throw new AudioError(`${where}: shift: expected a whole number, got ${shift}`, 'Config');
  }
}

/** Shift for {@link rollWaveform}: uniform over 0..samples - 1. One draw. */
export function drawRoll(samples: number, uniform: Uniform): number {
  checkCount(samples, 1, 'drawRoll: samples');
  return drawInteger(samples, uniform);
}

/**
 * Cyclic shift of a waveform [samples] by `shift` samples, a random start [MAViL table 10] [DiffMAViL table 4].
 * A departure from AudioMAE's code, which always draws shift 0 from a (1, samples) array; shift 0 reproduces it.
 */
export function rollWaveform(waveform: Samples, shift: number): Float32Array {
  checkShift(shift, 'rollWaveform');
  return roll(waveform, shift);
}

/**
 * Beta(alpha, beta) for whole alpha, beta >= 1: the alpha-th smallest of alpha + beta - 1 uniform draws, which has
 * exactly that law. alpha + beta - 1 draws.
 */
export function drawBeta(alpha: number, beta: number, uniform: Uniform): number {
  checkCount(alpha, 1, 'drawBeta: alpha');
  checkCount(beta, 1, 'drawBeta: beta');
  const draws = Float64Array.from({ length: alpha + beta - 1 }, uniform).sort();
  return draws[alpha - 1]!;
}

/** Gain for {@link scaleWaveform}: Beta(10, 10) + 0.5, in 0.5..1.5, mean 1 [AudioMAE]. 19 draws. */
export function drawGain(uniform: Uniform): number {
  return drawBeta(10, 10, uniform) + 0.5;
}

/** waveform [samples] times `gain`. */
export function scaleWaveform(waveform: Samples, gain: number): Float32Array {
  checkFinite(gain, 'scaleWaveform: gain');
  return Float32Array.from(waveform, (sample) => sample * gain);
}

function meanFree(waveform: Samples): Float64Array {
  let sum = 0;
  for (const sample of waveform) sum += sample;
  const mean = waveform.length === 0 ? 0 : sum / waveform.length;
  return Float64Array.from(waveform, (sample) => sample - mean);
}

/**
 * Mixup of two waveforms: weight * first + (1 - weight) * second, each made mean-free before and the result after;
 * the second is cut or zero-padded to the first's length [samples]. The weight is {@link drawBeta}(10, 10) in AudioMAE.
 */
export function mixWaveforms(first: Samples, second: Samples, weight: number): Float32Array {
  if (!(weight >= 0 && weight <= 1)) {
    throw new AudioError(`mixWaveforms: weight: expected 0..1, got ${weight}`, 'Config');
  }
  const other = meanFree(second);
  const mixed = meanFree(first).map(
    (sample, i) => weight * sample + (1 - weight) * (other[i] ?? 0),
  );
  return Float32Array.from(meanFree(mixed));
}

/** A band of a spectrogram: rows or columns `start` .. `start + width - 1`. */
export interface MaskSpan {
  readonly start: number;
  readonly width: number;
}

/** The two bands {@link specAugment} clears. */
export interface SpecAugmentMasks {
  /** Columns (mels). */
  readonly frequency: MaskSpan;
  /** Rows (frames). */
  readonly time: MaskSpan;
}

function drawSpan(size: number, limit: number, uniform: Uniform): MaskSpan {
  const width = uniform() * Math.min(limit, size);
  const start = Math.floor(uniform() * (size - width));
  return { start, width: Math.floor(width) };
}

/**
 * Masks for {@link specAugment}: width v = U * limit, start = floor(U * (size - v)), floor(v) rows or columns, so widths
 * are 0..limit - 1 [torchaudio mask_along_axis]. Frequency first. Four draws. Choice: a limit beyond the size counts as the size.
 */
export function drawSpecAugment(
  size: { readonly frames: number; readonly mels: number },
  limits: { readonly time: number; readonly frequency: number },
  uniform: Uniform,
): SpecAugmentMasks {
  checkCount(limits.frequency, 0, 'drawSpecAugment: limits.frequency');
  checkCount(limits.time, 0, 'drawSpecAugment: limits.time');
  const frequency = drawSpan(size.mels, limits.frequency, uniform);
  const time = drawSpan(size.frames, limits.time, uniform);
  return { frequency, time };
}

function checkSpan(span: MaskSpan, size: number, where: string): void {
  checkCount(span.start, 0, `${where}.start`);
  checkCount(span.width, 0, `${where}.width`);
  if (span.start + span.width > size) {
    throw new AudioError(
      `${where}: expected start + width <= ${size}, got ${span.start} + ${span.width}`,
      'Config',
    );
  }
}

/** Sets one band of mels and one band of frames of a raw log-mel [frames, mels] to 0.0, before normalisation. */
export function specAugment(mel: LogMel, masks: SpecAugmentMasks): LogMel {
  const { frames, mels } = mel;
  checkLength(mel.values, { frames, mels }, 'specAugment');
  checkSpan(masks.frequency, mels, 'specAugment: frequency');
  checkSpan(masks.time, frames, 'specAugment: time');
  const values = mel.values.slice();
  const { start, width } = masks.frequency;
  for (let frame = 0; frame < frames; frame++) {
    values.fill(0, frame * mels + start, frame * mels + start + width);
  }
  values.fill(0, masks.time.start * mels, (masks.time.start + masks.time.width) * mels);
  return { values, frames, mels };
}

/**
 * Noise added to a normalised spectrogram. `uniform`: U[0, peak * u) with one u = U[0, 1) per clip; AudioMAE's code has
 * peak 0.1. `gaussian`: white, its power `snrDecibels` below the spectrogram's mean square; MAViL table 10 says 20 dB.
 */
export type SpectrogramNoise =
  | { readonly kind: 'uniform'; readonly peak: number }
  | { readonly kind: 'gaussian'; readonly snrDecibels: number };

/** Standard normal by Box-Muller; two draws. 1 - u keeps the logarithm finite. */
function drawNormal(uniform: Uniform): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
  return radius * Math.cos(2 * Math.PI * uniform());
}

/** Noise for {@link addNoise} in the size of `mel`, [frames, mels]. 1 + size draws (uniform), 2 * size draws (gaussian). */
export function drawNoise(mel: LogMel, noise: SpectrogramNoise, uniform: Uniform): Float32Array {
  const out = new Float32Array(mel.values.length);
  switch (noise.kind) {
    case 'uniform': {
      checkFinite(noise.peak, 'drawNoise: peak');
      const peak = noise.peak * uniform();
      for (let i = 0; i < out.length; i++) out[i] = peak * uniform();
      return out;
    }
    case 'gaussian': {
      checkFinite(noise.snrDecibels, 'drawNoise: snrDecibels');
      let power = 0;
      for (const value of mel.values) power += value * value;
      const rms = Math.sqrt(power / Math.max(1, out.length));
      const deviation = rms * 10 ** (-noise.snrDecibels / 20);
      for (let i = 0; i < out.length; i++) out[i] = deviation * drawNormal(uniform);
      return out;
    }
    default:
      throw new AudioError(
        `drawNoise: expected kind 'uniform' or 'gaussian', got ${JSON.stringify(noise satisfies never)}`,
        'Config',
      );
  }
}

/** mel + noise, both [frames, mels]. */
export function addNoise(mel: LogMel, noise: Float32Array): LogMel {
  checkLength(noise, { frames: mel.frames, mels: mel.mels }, 'addNoise: noise');
  return { ...mel, values: mel.values.map((value, i) => value + noise[i]!) };
}

/** Shift for {@link rollFrames}: uniform over -limit..limit - 1; AudioMAE's limit is 10 frames. One draw. */
export function drawFrameRoll(limit: number, uniform: Uniform): number {
  checkCount(limit, 0, 'drawFrameRoll: limit');
  return drawInteger(2 * limit, uniform) - limit;
}

/** Cyclic shift of a spectrogram [frames, mels] by `shift` frames. */
export function rollFrames(mel: LogMel, shift: number): LogMel {
  checkShift(shift, 'rollFrames');
  checkLength(mel.values, { frames: mel.frames, mels: mel.mels }, 'rollFrames');
  return { ...mel, values: roll(mel.values, shift * mel.mels) };
}
