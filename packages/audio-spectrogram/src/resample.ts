// SPDX-License-Identifier: Apache-2.0
// Sample-rate conversion by a Kaiser-windowed sinc, as a polyphase filter: output j sits at input time
// j * fromRate / toRate, so only as many filter phases exist as toRate has after dividing by the common
// divisor. One inner product per output sample; float64 sums.
import type { Samples } from './errors.ts';
import { AudioError, checkSampleRate, checkSamples } from './errors.ts';

/** Design attenuation in dB. Choice: 1 more than the 100 promised, since Kaiser's formulas are fits to within 0.2 dB. */
const ATTENUATION_DB = 101;
/** End of the pass band as a part of the lower Nyquist frequency; the stop band starts at 1. */
const PASS_BAND = 0.91;
/** Most coefficients kept. A ratio with more phases than fit is interpolated between neighbours (error < -130 dB). */
const TABLE_SIZE = 2 ** 19;

interface Phases {
  /** Taps of one phase, a multiple of 4. */
  readonly taps: number;
  /** Number of phases an input interval is cut into; the table has one more, the next interval's first. */
  readonly count: number;
  /** [count + 1, taps]; tap i of phase p weighs input sample `base - taps / 2 + 1 + i`. */
  readonly table: Float64Array;
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** One phase of the filter, `fraction` of an input interval after `base`, its sum made exactly 1 (constants stay). */
function fillPhase(row: Float64Array, fraction: number, cutoff: number, beta: number): void {
  const half = row.length / 2;
  const scale = 1 / besselI0(beta);
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    const time = i - half + 1 - fraction;
    const edge = 1 - (time / half) ** 2;
    const angle = Math.PI * cutoff * time;
    const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
    const tap = edge <= 0 ? 0 : cutoff * sinc * besselI0(beta * Math.sqrt(edge)) * scale;
    row[i] = tap;
    sum += tap;
  }
  for (let i = 0; i < row.length; i++) row[i] = row[i]! / sum;
}

/** Kaiser's formulas: beta from the attenuation, length from attenuation and transition width. */
function designPhases(from: number, to: number): Phases {
  const ratio = Math.min(1, to / from);
  const transition = Math.PI * (1 - PASS_BAND) * ratio;
  const wanted = (ATTENUATION_DB - 7.95) / (2.285 * transition);
  const taps = 4 * Math.ceil((wanted + 2) / 4);
  const cutoff = (ratio * (1 + PASS_BAND)) / 2;
  const beta = 0.1102 * (ATTENUATION_DB - 8.7);
  const count = to * taps <= TABLE_SIZE ? to : Math.max(16, Math.ceil(TABLE_SIZE / taps));
  const table = new Float64Array((count + 1) * taps);
  for (let p = 0; p <= count; p++) {
    fillPhase(table.subarray(p * taps, (p + 1) * taps), p / count, cutoff, beta);
  }
  return { taps, count, table };
}

/** Inner product of phase `row` with the input from `start`; both ranges are inside their arrays. */
function filterAt(
  input: Float64Array,
  start: number,
  table: Float64Array,
  row: number,
  taps: number,
): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < taps; i += 4) {
    a += input[start + i]! * table[row + i]!;
    b += input[start + i + 1]! * table[row + i + 1]!;
    c += input[start + i + 2]! * table[row + i + 2]!;
    d += input[start + i + 3]! * table[row + i + 3]!;
  }
  return a + b + (c + d);
}

function applyPhases(
  waveform: Float64Array,
  from: number,
  to: number,
  phases: Phases,
): Float32Array {
  const { taps, count, table } = phases;
  // Zeros on both sides, so that the inner loop needs no edge cases.
  const input = new Float64Array(waveform.length + 2 * taps);
  input.set(waveform, taps);
  const output = new Float32Array(Math.ceil((waveform.length * to) / from));
  let start = taps / 2 + 1;
  let remainder = 0; // output j sits remainder / to of an input interval after its base sample, exactly
  for (let j = 0; j < output.length; j++) {
    const position = (remainder * count) / to;
    const phase = Math.floor(position);
    const blend = position - phase;
    let value = filterAt(input, start, table, phase * taps, taps);
    if (blend > 0) {
      const next = filterAt(input, start, table, (phase + 1) * taps, taps);
      value += blend * (next - value);
    }
    output[j] = value;
    remainder += from;
    const whole = Math.floor(remainder / to);
    start += whole;
    remainder -= whole * to;
  }
  return output;
}

/** A {@link resample} with its rates fixed and its filter made: a function to keep when many clips share a rate. */
export type Resampler = (waveform: Samples) => Float32Array;

/** Makes the filter of {@link resample} once (about 10 ms for 44.1 kHz -> 16 kHz). Throws as it does. */
export function createResampler(fromRate: number, toRate: number): Resampler {
  checkSampleRate(fromRate, 'resample: fromRate');
  checkSampleRate(toRate, 'resample: toRate');
  const divisor = greatestCommonDivisor(fromRate, toRate);
  const from = fromRate / divisor;
  const to = toRate / divisor;
  const phases = from === to ? null : designPhases(from, to);
  return (waveform) => {
    const samples = new Float64Array(waveform);
    checkSamples(samples, 'resample');
    return phases === null ? new Float32Array(samples) : applyPhases(samples, from, to, phases);
  };
}

/**
 * Converts a mono waveform [samples] from `fromRate` to `toRate` (whole Hz, 1000..768000) ->
 * [ceil(samples * toRate / fromRate)]. Output j is the band-limited signal at time j / toRate: no delay to remove, and
 * samples outside the recording count as zero. Pass band (ripple 0.0001 dB) up to 91 % of the lower Nyquist
 * frequency, stop band (-100 dB) from 100 % of it. Equal rates return a copy.
 *
 * Throws {@link AudioError}, kind `'Media'`, for rates that are not whole numbers in range and for NaN or Infinity.
 * Choice: the papers do not name a resampler; released pipelines start from 16 kHz files.
 */
export function resample(waveform: Samples, fromRate: number, toRate: number): Float32Array {
  return createResampler(fromRate, toRate)(waveform);
}

/**
 * Averages the channels, each [samples] -> [samples], in float64. One channel is copied.
 * Throws {@link AudioError}: kind `'Media'` for no channel, `'Shape'` for channels of different lengths.
 */
export function toMono(channels: readonly Samples[]): Float32Array {
  const [first, ...others] = channels;
  if (first === undefined) throw new AudioError('toMono: expected at least one channel, got 0');
  const sum = Float64Array.from(first);
  for (const [index, channel] of others.entries()) {
    if (channel.length !== sum.length) {
      throw new AudioError(
        `toMono: expected ${sum.length} samples in every channel, got ${channel.length} in channel ${index + 1}`,
        'Shape',
      );
    }
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + channel[i]!;
  }
  return Float32Array.from(sum, (value) => value / channels.length);
}
