// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { createResampler, resample, toMono } from './resample.ts';

/** Without it a tone at the Nyquist frequency would be sampled at its zeros. */
const PHASE = 0.7;

function tone(frequency: number, rate: number, seconds: number): Float32Array {
  return Float32Array.from({ length: Math.floor(rate * seconds) }, (_, i) =>
    Math.sin((2 * Math.PI * frequency * i) / rate + PHASE),
  );
}

/** Root mean square in dB against a full-scale sine, `edge` samples left out on both sides. */
function levelDb(values: Float32Array, edge: number): number {
  const inner = values.subarray(edge, values.length - edge);
  const power = inner.reduce((sum, value) => sum + value * value, 0) / inner.length;
  return 10 * Math.log10(2 * power + 1e-30);
}

describe('resample', () => {
  const rates: [number, number][] = [
    [44_100, 16_000],
    [48_000, 16_000],
    [22_050, 16_000],
    [44_101, 16_000], // 16000 phases: interpolated between the table's
    [96_000, 44_100],
  ];

  it.each(rates)('keeps alias tones of %i -> %i below -100 dB', (from, to) => {
    const convert = createResampler(from, to);
    // 72 tones from the very edge of the stop band (100 % of the output's Nyquist frequency) up, dense near the edge.
    const frequencies = Array.from(
      { length: 72 },
      (_, i) => (to / 2) * (1 + i * 0.002 + Math.max(0, i - 40) * 0.05),
    ).filter((frequency) => frequency < from / 2);
    const levels = frequencies.map((f) => levelDb(convert(tone(f, from, 0.2)), 400));
    expect(levels.length).toBeGreaterThan(45);
    // Measured: -100.5 (48 kHz -> 16 kHz, at the very edge), the worst of the five pairs.
    expect(Math.max(...levels)).toBeLessThan(-100);
  });

  it.each([...rates, [8000, 16_000], [11_025, 16_000], [16_000, 44_100]])(
    'turns pass-band tones of %i -> %i into the same tones, sample by sample',
    (from, to) => {
      const nyquist = Math.min(from, to) / 2;
      const convert = createResampler(from, to);
      let worst = 0;
      for (const ratio of [0.01, 0.125, 0.3, 0.5, 0.7, 0.85, 0.9, 0.91]) {
        const frequency = ratio * nyquist;
        const output = convert(tone(frequency, from, 0.5));
        const edge = Math.round(to / 20);
        for (let j = edge; j < output.length - edge; j++) {
          const error = Math.abs(output[j]! - Math.sin((2 * Math.PI * frequency * j) / to + PHASE));
          if (!(error <= worst)) worst = error;
        }
      }
      // Ripple, images and timing together: measured 8.7e-6 of full scale; 1.15e-5 is a ripple of 0.0001 dB.
      expect(worst).toBeLessThan(1.15e-5);
    },
  );

  it('gives ceil(samples * toRate / fromRate) samples', () => {
    const lengths = [0, 1, 2, 3, 441, 442, 44_100, 441_000].map(
      (samples) => resample(new Float32Array(samples), 44_100, 16_000).length,
    );
    expect(lengths).toEqual([0, 1, 1, 2, 160, 161, 16_000, 160_000]);
  });

  it('keeps a constant to float32 rounding away from the ends, and silence exactly', () => {
    const constant = resample(new Float32Array(8000).fill(0.3), 44_100, 16_000);
    const inner = constant.subarray(200, constant.length - 200);
    expect(Math.max(...inner.map((value) => Math.abs(value - 0.3)))).toBeLessThan(1e-7);
    expect(resample(new Float32Array(5000), 48_000, 16_000)).toEqual(new Float32Array(1667));
  });

  it('copies when the rates are equal', () => {
    const waveform = Float32Array.of(0.1, -0.2, 0.3);
    const copy = resample(waveform, 16_000, 16_000);
    expect(copy).toEqual(waveform);
    expect(copy.buffer).not.toBe(waveform.buffer);
  });

  it.each([
    [0, 16_000, 'fromRate', '0'],
    [-44_100, 16_000, 'fromRate', '-44100'],
    [Number.NaN, 16_000, 'fromRate', 'NaN'],
    [44_100, 16_000.5, 'toRate', '16000.5'],
    [44_100, Infinity, 'toRate', 'Infinity'],
    [999, 16_000, 'fromRate', '999'],
  ])('refuses the rates %d -> %d', (from, to, name, got) => {
    expect(() => resample(new Float32Array(10), from, to)).toThrow(
      expect.objectContaining({
        name: 'AudioError',
        kind: 'Media',
        message: `resample: ${name}: expected a whole number of Hz between 1000 and 768000, got ${got}`,
      }),
    );
  });

  it('refuses a sample that is not finite', () => {
    expect(() => resample(Float32Array.of(0, Infinity), 44_100, 16_000)).toThrow(
      'resample: expected finite samples in -1..1, got Infinity at sample 1 of 2. ' +
        'Try: decode the file again; skip the clip when it is damaged',
    );
  });
});

describe('toMono', () => {
  it('averages channels and copies a single one', () => {
    const left = Float32Array.of(1, 0, -0.5);
    const right = Float32Array.of(0, 0.5, -0.5);
    expect(toMono([left, right])).toEqual(Float32Array.of(0.5, 0.25, -0.5));
    expect(toMono([left])).toEqual(left);
    expect(toMono([left]).buffer).not.toBe(left.buffer);
  });

  it('refuses no channel and channels of different lengths', () => {
    expect(() => toMono([])).toThrow(
      expect.objectContaining({
        kind: 'Media',
        message: 'toMono: expected at least one channel, got 0',
      }),
    );
    expect(() => toMono([new Float32Array(3), new Float32Array(2)])).toThrow(
      expect.objectContaining({
        kind: 'Shape',
        message: 'toMono: expected 3 samples in every channel, got 2 in channel 1',
      }),
    );
  });
});
