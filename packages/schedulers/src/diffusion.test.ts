// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  alphaBarAt,
  cleanCoefficients,
  forwardCoefficients,
  noiseCoefficients,
  targetCoefficients,
  timestepFromUniform,
  type Prediction,
} from './diffusion.ts';
import { ScheduleError } from './errors.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/reverse-steps.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  x0: number;
  eps: number;
  cases: { alphaBar: number; noised: number; v: number }[];
};
const predictions: Prediction[] = ['x0', 'noise', 'v'];
const { x0, eps } = golden;

describe('the forward process', () => {
  it('makes the golden x_t from x_0 and eps', () => {
    for (const { alphaBar, noised } of golden.cases) {
      const { signal, noise } = forwardCoefficients(alphaBar);
      expect(Math.abs(signal * x0 + noise * eps - noised)).toBeLessThanOrEqual(1e-14);
    }
  });

  it('keeps the variance at 1, from clean values to pure noise', () => {
    expect(forwardCoefficients(1)).toEqual({ signal: 1, noise: 0 });
    expect(forwardCoefficients(0)).toEqual({ signal: 0, noise: 1 });
    const { signal, noise } = forwardCoefficients(0.3);
    expect(Math.abs(signal ** 2 + noise ** 2 - 1)).toBeLessThanOrEqual(2e-16);
  });

  it('draws timesteps 1..T evenly from a uniform number', () => {
    const largest = 1 - 2 ** -24;
    expect([0, 0.249, 0.25, 0.999, largest].map((u) => timestepFromUniform(u, 4))).toEqual([
      1, 1, 2, 4, 4,
    ]);
    expect(timestepFromUniform(largest, 1000)).toBe(1000);
    // (1 - 2^-53) · 3 rounds up to 3
    expect(timestepFromUniform(1 - 2 ** -53, 3)).toBe(3);
  });

  it('reads a table by timestep, with 1 for the clean value', () => {
    const table = [0.9, 0.5, 0.1];
    expect([0, 1, 3].map((t) => alphaBarAt(table, t))).toEqual([1, 0.9, 0.1]);
  });
});

describe.each(predictions)('a prediction of %s', (prediction) => {
  it('made from x_0 and eps gives both back', () => {
    for (const { alphaBar, noised } of golden.cases) {
      const target = targetCoefficients(alphaBar, prediction);
      const output = target.clean * x0 + target.noise * eps;
      const clean = cleanCoefficients(alphaBar, prediction);
      const noise = noiseCoefficients(alphaBar, prediction);
      // Dividing by sqrt(alphaBar) or sqrt(1 - alphaBar) magnifies the rounding of x_t.
      const cleanTolerance = 1e-15 * (1 + Math.abs(clean.noised));
      const noiseTolerance = 1e-15 * (1 + Math.abs(noise.noised));
      const backClean = clean.prediction * output + clean.noised * noised;
      const backNoise = noise.prediction * output + noise.noised * noised;
      expect(Math.abs(backClean - x0)).toBeLessThanOrEqual(cleanTolerance);
      expect(Math.abs(backNoise - eps)).toBeLessThanOrEqual(noiseTolerance);
    }
  });
});

it('v has its golden value', () => {
  for (const { alphaBar, v } of golden.cases) {
    const { clean, noise } = targetCoefficients(alphaBar, 'v');
    expect(Math.abs(clean * x0 + noise * eps - v)).toBeLessThanOrEqual(1e-14);
  }
});

describe('bad arguments', () => {
  const other = 'score' as Prediction;
  const faults: [() => unknown, string][] = [
    [() => forwardCoefficients(1.1), 'forwardCoefficients: expected alphaBar in [0, 1], got 1.1'],
    [
      () => alphaBarAt([0.5], 2),
      'alphaBarAt: expected timestep to be a whole number in [0, 1], got 2',
    ],
    [() => timestepFromUniform(1, 10), 'timestepFromUniform: expected uniform in [0, 1), got 1'],
    [
      () => timestepFromUniform(0, 0),
      'timestepFromUniform: expected timesteps to be a whole number >= 1, got 0',
    ],
    [() => cleanCoefficients(0, 'noise'), 'cleanCoefficients: expected alphaBar in (0, 1], got 0'],
    [() => noiseCoefficients(1, 'x0'), 'noiseCoefficients: expected alphaBar in [0, 1), got 1'],
    [() => targetCoefficients(-1, 'v'), 'targetCoefficients: expected alphaBar in [0, 1], got -1'],
    [
      () => targetCoefficients(0.5, other),
      `targetCoefficients: expected prediction 'x0', 'noise' or 'v', got "score"`,
    ],
    [
      () => cleanCoefficients(0.5, other),
      `cleanCoefficients: expected prediction 'x0', 'noise' or 'v', got "score"`,
    ],
    [
      () => noiseCoefficients(0.5, other),
      `noiseCoefficients: expected prediction 'x0', 'noise' or 'v', got "score"`,
    ],
  ];

  it.each(faults)('%o is refused with "%s"', (call, message) => {
    expect(call).toThrow(new ScheduleError(message));
  });
});
