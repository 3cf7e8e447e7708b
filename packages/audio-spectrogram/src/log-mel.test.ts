// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createLogMel, logMel, logMelFloor } from './log-mel.ts';

interface GoldenSignal {
  name: string;
  kind: string;
  seed: number;
  samples: number;
  sampleRate: number;
  mels: number;
  frames: number;
  mean: number;
  std: number;
  positions: number[];
  values: number[];
}

// Written by conformance/golden/audio_spectrogram.py: NumPy float64, independent of this package.
const golden = JSON.parse(
  readFileSync(
    new URL('../../../conformance/golden/fixtures/audio_spectrogram/log-mel.json', import.meta.url),
    'utf8',
  ),
) as { signals: GoldenSignal[] };

/** s <- (1103515245 s + 12345) mod 2^31, v = s / 2^30 - 1. */
function lcg(seed: number, count: number): Float64Array {
  let state = seed;
  return new Float64Array(count).map(() => {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    return state / 1073741824 - 1;
  });
}

function pinkFilter(): (x: number) => number {
  let b0 = 0;
  let b1 = 0;
  let b2 = 0;
  return (x) => {
    b0 = 0.99765 * b0 + 0.099046 * x;
    b1 = 0.963 * b1 + 0.2965164 * x;
    b2 = 0.57 * b2 + 1.0526913 * x;
    return 0.05 * (b0 + b1 + b2 + 0.1848 * x);
  };
}

function redFilter(): (x: number) => number {
  let y = 0;
  return (x) => (y = 0.97 * y + 0.1 * x);
}

function blueFilter(): (x: number) => number {
  let before = 0;
  return (x) => {
    const out = 0.2 * (x - before);
    before = x;
    return out;
  };
}

function resonance(a1: number, a2: number): (x: number) => number {
  let y1 = 0;
  let y2 = 0;
  return (x) => {
    const out = a1 * y1 - a2 * y2 + 0.02 * x;
    y2 = y1;
    y1 = out;
    return out;
  };
}

/** The signals of the golden program: same float64 operations, same order. */
function signal({ kind, seed, samples }: GoldenSignal): Float32Array {
  const red = redFilter();
  const filters: Record<string, (x: number, i: number) => number> = {
    white: (x) => 0.1 * x,
    loud: (x) => 0.9 * x,
    quiet: (x) => 0.001 * x,
    offset: (x) => 0.05 * x + 0.3,
    blue: blueFilter(),
    red,
    clipped: (x) => Math.max(-0.2, Math.min(0.2, red(x))),
    pink: pinkFilter(),
    'low-band': resonance(1.7, 0.96),
    'high-band': resonance(-1.5, 0.9),
    swell: (x, i) => 0.5 * x * (i / (samples - 1)),
    bursts: (x, i) => (Math.floor(i / 1600) % 3 === 0 ? 0.3 * x : 0),
    clicks: (x) => (x > 0.998 ? 0.8 : 0),
    levels: (x) => Math.floor(x * 8) / 8,
  };
  const filter = filters[kind];
  if (filter === undefined) throw new Error(`no such kind: ${kind}`);
  return Float32Array.from(lcg(seed, samples).map((x, i) => filter(x, i)));
}

function moments(values: Float32Array): { mean: number; std: number } {
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, std: Math.sqrt(squares / values.length - mean * mean) };
}

function worstError(actual: ArrayLike<number>, expected: readonly number[]): number {
  let worst = 0;
  for (const [i, value] of expected.entries()) {
    const error = Math.abs(actual[i]! - value);
    if (!(error <= worst)) worst = error; // NaN sticks
  }
  return worst;
}

describe('logMel against the figures of a float64 NumPy program after Kaldi', () => {
  // The output is float32: below 16 in size its rounding is at most 4.8e-7.
  it('gives the two-tone golden A to float32 rounding', () => {
    const twoTones = new Float64Array(160_000).map((_, i) => {
      const t = i / 16_000;
      return 0.5 * Math.sin(2 * Math.PI * 440 * t) + 0.25 * Math.sin(2 * Math.PI * 3000 * t);
    });
    const { values, frames, mels } = logMel(twoTones);
    expect([frames, mels, values.length]).toEqual([998, 128, 998 * 128]);
    const start = [-14.09363743, -15.59986141, -12.15647983, -15.94238515];
    expect(worstError(values, start)).toBeLessThan(5.2e-7);
    const middle = [-13.22157088, -12.95507677, -13.59934558, -15.30463554];
    expect(worstError(values.subarray(40), middle)).toBeLessThan(5.2e-7);
    const { mean, std } = moments(values);
    // Many values are the floor, whose float32 rounding is 4.3e-7, so roundings do not average out.
    expect(worstError([mean, std], [-11.67316648, 5.69839297])).toBeLessThan(3e-7);
  });

  it('gives the broadband golden B to float32 rounding', () => {
    const { values, frames } = logMel(lcg(12_345, 16_000).map((v) => 0.1 * v));
    expect(frames).toBe(98);
    const rows: [number, number[]][] = [
      [0, [-7.73694223, -10.53016153, -7.08677995, -15.94238515, -8.20621063, -11.18488406]],
      [50 * 128 + 60, [-3.15866262, -1.35178722, -1.17847993, -1.68915439]],
      [97 * 128 + 124, [3.07177751, 2.74134147, 1.71368846, 2.33448838]],
    ];
    for (const [at, expected] of rows) {
      expect(worstError(values.subarray(at), expected)).toBeLessThan(5.2e-7);
    }
    expect(Math.abs(moments(values).mean - -1.9913346997)).toBeLessThan(1e-8);
  });
});

describe('logMel against 20 signals of conformance/golden/audio_spectrogram.py', () => {
  it.each(golden.signals.map((one) => [one.name, one] as const))('%s', (_, one) => {
    const { values, frames, mels } = logMel(signal(one), {
      sampleRate: one.sampleRate,
      mels: one.mels,
    });
    expect([frames, mels]).toEqual([one.frames, one.mels]);
    const sampled = one.positions.map((position) => values[position]!);
    // The bar is 1e-3; measured: 4.7e-7, the rounding of the float32 result.
    expect(worstError(sampled, one.values)).toBeLessThan(1e-6);
    const { mean, std } = moments(values);
    expect(worstError([mean, std], [one.mean, one.std])).toBeLessThan(1e-6);
  });
});

describe('logMel at its edges', () => {
  it('gives exactly the floor for silence and for a constant', () => {
    expect(logMelFloor).toBeCloseTo(-15.942385, 6);
    for (const level of [0, 0.5, -1]) {
      const { values } = logMel(new Float32Array(4000).fill(level));
      expect(values.every((value) => value === logMelFloor)).toBe(true);
    }
  });

  it('keeps bin 3 of the default bank at the floor, since no FFT bin falls into it', () => {
    const { values, mels } = logMel(lcg(7, 1600).map((v) => 0.9 * v));
    expect(values.filter((_, i) => i % mels === 3).every((v) => v === logMelFloor)).toBe(true);
  });

  it('makes 1 + floor((n - 400) / 160) frames', () => {
    const frames = [400, 559, 560, 16_000, 80_000, 160_000].map(
      (samples) => logMel(new Float32Array(samples)).frames,
    );
    expect(frames).toEqual([1, 1, 2, 98, 498, 998]);
  });

  it('gives the same values when its tables are kept', () => {
    const transform = createLogMel({ mels: 64 });
    const clips = [lcg(1, 4000), lcg(2, 800), lcg(1, 4000)];
    const [first, , third] = clips.map((clip) => transform(clip));
    expect(first).toEqual(logMel(clips[0]!, { mels: 64 }));
    expect(third).toEqual(first);
  });

  it('checks every sample, also those after the last whole frame', () => {
    for (const samples of [559, 10_640 + 159, 10_640 + 160 + 159]) {
      const clip = new Float32Array(samples);
      clip[samples - 1] = Number.NaN;
      expect(() => logMel(clip)).toThrow(`got NaN at sample ${samples - 1} of ${samples}.`);
    }
  });

  it('does not change its input', () => {
    const clip = lcg(3, 800);
    const before = clip.slice();
    logMel(clip);
    expect(clip).toEqual(before);
  });
});

describe('logMel refuses', () => {
  const cases: [string, Float32Array, { sampleRate?: number; mels?: number }, string, string][] = [
    [
      'fewer than 400 samples',
      new Float32Array(399),
      {},
      'Media',
      'logMel: expected at least 400 samples (25 ms at 16000 Hz), got 399',
    ],
    [
      'NaN',
      new Float32Array(800).fill(Number.NaN, 700),
      {},
      'Media',
      'logMel: expected finite samples in -1..1, got NaN at sample 700 of 800. ' +
        'Try: decode the file again; skip the clip when it is damaged',
    ],
    [
      'Infinity',
      new Float32Array(800).fill(-Infinity, 799),
      {},
      'Media',
      'logMel: expected finite samples in -1..1, got -Infinity at sample 799 of 800. ' +
        'Try: decode the file again; skip the clip when it is damaged',
    ],
    [
      'a fractional sample rate',
      new Float32Array(800),
      { sampleRate: 16_000.5 },
      'Media',
      'logMel: sampleRate: expected a whole number of Hz between 1000 and 768000, got 16000.5',
    ],
    [
      'no mels',
      new Float32Array(800),
      { mels: 0 },
      'Config',
      'melFilterBank: mels: expected a whole number >= 1, got 0',
    ],
  ];
  it.each(cases)('%s', (_, waveform, options, kind, message) => {
    expect(() => logMel(waveform, options)).toThrow(
      expect.objectContaining({ name: 'AudioError', kind, message }),
    );
  });
});
