// SPDX-License-Identifier: Apache-2.0
// Waveform -> log-mel spectrogram, the front end of AST, AudioMAE, CAV-MAE and MAViL: torchaudio's
// compliance.kaldi.fbank(htk_compat, window_type='hanning', num_mel_bins=128, dither=0, use_energy=False)
// on a mean-free waveform in -1..1. Arithmetic is float64, the result float32.
import type { Samples } from './errors.ts';
import { AudioError, checkSampleRate, checkSamples } from './errors.ts';
import { createLogRows } from './log-rows.ts';
import type { MelFilterBank } from './mel-filters.ts';
import { melFilterBank } from './mel-filters.ts';
import { createPowerSpectrum } from './real-fft.ts';

/** A log-mel spectrogram: natural logarithm of mel energies. */
export interface LogMel {
  /** [frames, mels], row-major: one row per frame. */
  readonly values: Float32Array;
  readonly frames: number;
  readonly mels: number;
}

/** Settings of {@link logMel}. Window 25 ms, shift 10 ms, FFT length the next power of two. */
export interface LogMelOptions {
  /** Sample rate of the waveform in Hz; default 16000. Nothing is resampled: see `resample`. */
  readonly sampleRate?: number;
  /** Number of mel filters; default 128. */
  readonly mels?: number;
  /** Lower edge of the first filter in Hz; default 20. */
  readonly lowFrequency?: number;
  /** Upper edge of the last filter in Hz; 0 or less counts from the Nyquist frequency; default 0. */
  readonly highFrequency?: number;
}

/** Smallest mel energy: float32 epsilon, 2^-23. */
const ENERGY_FLOOR = 1.1920928955078125e-7;

/** The value of silence and of an empty filter: ln(2^-23) = -15.942385, as float32. */
export const logMelFloor: number = Math.fround(Math.log(ENERGY_FLOOR));

const PRE_EMPHASIS = 0.97;

/** Frames whose samples are converted to float64 together: 83 KB at 16 kHz stay in the cache. */
const BLOCK_FRAMES = 64;

interface Framing {
  /** Window length in samples. */
  readonly length: number;
  /** Hop in samples. */
  readonly shift: number;
  /** Symmetric Hann window, [length]. */
  readonly window: Float64Array;
}

function framing(sampleRate: number): Framing {
  const length = Math.floor((sampleRate * 25) / 1000);
  const shift = Math.floor((sampleRate * 10) / 1000);
  const window = Float64Array.from(
    { length },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (length - 1)),
  );
  return { length, shift, window };
}

/** Four sums side by side: a single one would wait for each addition. */
function meanOf(samples: Float64Array, start: number, length: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = start;
  const end = start + length;
  for (; i + 3 < end; i += 4) {
    a += samples[i]!;
    b += samples[i + 1]!;
    c += samples[i + 2]!;
    d += samples[i + 3]!;
  }
  for (; i < end; i++) a += samples[i]!;
  return (a + b + (c + d)) / length;
}

/**
 * Removes the frame's mean, and with it the waveform's, which needs no pass of its own; pre-emphasises with a replicated
 * left edge; applies the window. `out` keeps its zero tail.
 */
function windowFrame(
  samples: Float64Array,
  start: number,
  window: Float64Array,
  out: Float64Array,
): void {
  const mean = meanOf(samples, start, window.length);
  let previous = samples[start]! - mean;
  for (let j = 0; j < window.length; j++) {
    const sample = samples[start + j]! - mean;
    out[j] = (sample - PRE_EMPHASIS * previous) * window[j]!;
    previous = sample;
  }
}

/** `power` [bins] -> `energies` [mels]. */
function melEnergies(power: Float64Array, bank: MelFilterBank, energies: Float64Array): void {
  const { mels, firstBins, offsets, weights } = bank;
  let i = 0;
  for (let m = 0; m < mels; m++) {
    const end = offsets[m + 1]!;
    const shift = firstBins[m]! - i;
    let energy = 0;
    for (; i < end; i++) energy += weights[i]! * power[i + shift]!;
    energies[m] = energy;
  }
}

/** A {@link logMel} with its tables made: a function to keep when many clips are transformed. Not re-entrant. */
export type LogMelTransform = (waveform: Samples) => LogMel;

/**
 * Makes the tables (window, FFT twiddles, mel filters) of {@link logMel} once.
 * Throws {@link AudioError} for options out of range.
 */
export function createLogMel(options: LogMelOptions = {}): LogMelTransform {
  const { sampleRate = 16_000, mels = 128, lowFrequency = 20, highFrequency = 0 } = options;
  checkSampleRate(sampleRate, 'logMel: sampleRate');
  const { length, shift, window } = framing(sampleRate);
  const fftSize = 2 ** Math.ceil(Math.log2(length));
  const bank = melFilterBank({ sampleRate, mels, fftSize, lowFrequency, highFrequency });
  const powerSpectrum = createPowerSpectrum(fftSize);
  // Frames of a block, and the rest of the recording that fills no frame after its last one.
  const block = new Float64Array(BLOCK_FRAMES * shift + length);
  const frame = new Float64Array(fftSize);
  const power = new Float64Array(powerSpectrum.bins);
  const logRows = createLogRows(mels, ENERGY_FLOOR, logMelFloor);

  return (waveform) => {
    if (waveform.length < length) {
      throw new AudioError(
        `logMel: expected at least ${length} samples (25 ms at ${sampleRate} Hz), got ${waveform.length}`,
      );
    }
    const frames = 1 + Math.floor((waveform.length - length) / shift);
    const values = new Float32Array(frames * mels);
    for (let first = 0; first < frames; first += BLOCK_FRAMES) {
      const start = first * shift;
      const part = waveform.subarray(start, start + block.length);
      block.set(part);
      checkSamples(block.subarray(0, part.length), 'logMel', start, waveform.length);
      const last = Math.min(frames, first + BLOCK_FRAMES);
      for (let f = first; f < last; f++) {
        windowFrame(block, (f - first) * shift, window, frame);
        powerSpectrum(frame, power);
        melEnergies(power, bank, logRows.energies);
        logRows.write(values, f * mels);
      }
    }
    return { values, frames, mels };
  };
}

/**
 * Kaldi-compatible log-mel of a mono waveform [samples] in -1..1 -> `values` [frames, mels], with
 * `frames = 1 + floor((samples - window) / shift)`: 998 for 10 s at 16 kHz. Steps, in this order: remove the mean of the
 * waveform; frames of 25 ms every 10 ms, whole frames only; remove each frame's mean; pre-emphasis 0.97 inside the frame
 * with a replicated left edge; symmetric Hann window; power spectrum; mel filters; ln(max(energy, 2^-23)).
 * Silence and empty filters are exactly {@link logMelFloor}.
 *
 * Throws {@link AudioError} (kind `'Media'`) for fewer samples than one window (400 at 16 kHz), for NaN or Infinity and
 * for a bad sample rate; kind `'Config'` for the other options.
 * [MAViL §4.2] [DiffMAViL §C]
 */
export function logMel(waveform: Samples, options: LogMelOptions = {}): LogMel {
  return createLogMel(options)(waveform);
}
