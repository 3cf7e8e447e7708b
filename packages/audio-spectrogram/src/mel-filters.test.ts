// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { MelFilterBank } from './mel-filters.ts';
import { hzToMel, melFilterBank, melToHz } from './mel-filters.ts';

const golden = JSON.parse(
  readFileSync(
    new URL('../../../conformance/golden/fixtures/audio_spectrogram/log-mel.json', import.meta.url),
    'utf8',
  ),
) as {
  banks: {
    sampleRate: number;
    mels: number;
    fftSize: number;
    centreFrequencies: number[];
    rowSums: number[];
  }[];
};

function rowSums({ offsets, weights, mels }: MelFilterBank): number[] {
  return Array.from({ length: mels }, (_, m) =>
    weights.subarray(offsets[m], offsets[m + 1]).reduce((sum, weight) => sum + weight, 0),
  );
}

/** Largest difference; NaN when a value is missing. */
function worstError(actual: ArrayLike<number>, expected: readonly number[]): number {
  return Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value)));
}

describe('melFilterBank', () => {
  it('has the centres and row sums of a float64 NumPy program after Kaldi, filter 3 empty', () => {
    const bank = melFilterBank();
    const centres = [0, 1, 2, 63, 127].map((m) => bank.centreFrequencies[m]!);
    expect(worstError(centres, [34.0431, 48.36, 62.9562, 1778.7422, 7833.5592])).toBeLessThan(5e-5);
    expect(
      worstError(rowSums(bank).slice(0, 5), [0.80264, 0.030967, 0.969033, 0, 0.951601]),
    ).toBeLessThan(5e-7);
    expect(bank.offsets[4]).toBe(bank.offsets[3]);
    const empty = rowSums(bank).filter((sum) => sum === 0);
    expect(empty).toHaveLength(1);
  });

  it.each(golden.banks.map((bank) => [bank.sampleRate, bank.mels, bank.fftSize, bank] as const))(
    'agrees with NumPy at %i Hz, %i mels, FFT %i',
    (sampleRate, mels, fftSize, expected) => {
      const bank = melFilterBank({ sampleRate, mels, fftSize });
      expect(worstError(bank.centreFrequencies, expected.centreFrequencies)).toBeLessThan(1e-8);
      expect(worstError(rowSums(bank), expected.rowSums)).toBeLessThan(1e-11);
    },
  );

  it('splits each bin between two neighbouring filters with weights that add up to 1', () => {
    const { firstBins, offsets, weights, mels } = melFilterBank();
    const totals = new Float64Array(256);
    for (let m = 0; m < mels; m++) {
      for (let i = offsets[m]!; i < offsets[m + 1]!; i++) {
        totals[firstBins[m]! + i - offsets[m]!]! += weights[i]!;
      }
    }
    // Bins 2 (62.5 Hz) to 250 (7812.5 Hz) lie between the first and the last centre.
    for (let bin = 2; bin <= 250; bin++) expect(totals[bin]).toBeCloseTo(1, 12);
    expect(totals[0]).toBe(0);
  });

  it('counts a highFrequency of 0 or less from the Nyquist frequency', () => {
    const bank = melFilterBank({ highFrequency: -500 });
    expect(bank).toEqual(melFilterBank({ highFrequency: 7500 }));
  });

  it('inverts the mel scale', () => {
    for (const hertz of [0, 20, 1000, 8000]) expect(melToHz(hzToMel(hertz))).toBeCloseTo(hertz, 9);
  });

  it.each([
    [
      { sampleRate: 0 },
      'Media',
      'melFilterBank: sampleRate: expected a whole number of Hz between 1000 and 768000, got 0',
    ],
    [{ mels: 1.5 }, 'Config', 'melFilterBank: mels: expected a whole number >= 1, got 1.5'],
    [{ fftSize: 400 }, 'Config', 'melFilterBank: fftSize: expected a power of two, got 400'],
    [{ fftSize: 2 }, 'Config', 'melFilterBank: fftSize: expected a whole number >= 4, got 2'],
    [
      { lowFrequency: Number.NaN },
      'Config',
      'melFilterBank: lowFrequency: expected a finite number, got NaN',
    ],
    [
      { lowFrequency: 9000 },
      'Config',
      'melFilterBank: expected 0 <= lowFrequency < highFrequency <= 8000 Hz, got 9000 and 8000',
    ],
  ])('refuses %o', (options, kind, message) => {
    expect(() => melFilterBank(options)).toThrow(expect.objectContaining({ kind, message }));
  });
});
