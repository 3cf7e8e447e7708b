// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ddpmStep, type DdpmStep } from './ddpm.ts';
import { targetCoefficients, type Prediction } from './diffusion.ts';
import { ScheduleError } from './errors.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/reverse-steps.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  x0: number;
  eps: number;
  cases: {
    exponent: number;
    t: number;
    s: number;
    alphaBar: number;
    alphaBarPrevious: number;
    noised: number;
    ddpmMean: number;
    ddpmVariance: number;
    stepBeta: number;
  }[];
};
const { x0, eps } = golden;

describe.each(golden.cases)('DDPM from t=$t to s=$s, exponent $exponent', (example) => {
  const { alphaBar, alphaBarPrevious, noised, ddpmMean, ddpmVariance, stepBeta } = example;

  it.each<Prediction>(['x0', 'noise', 'v'])(
    'has the mean of the Gaussian posterior when %s is predicted exactly',
    (prediction) => {
      const target = targetCoefficients(alphaBar, prediction);
      const output = target.clean * x0 + target.noise * eps;
      const step = ddpmStep({ alphaBar, alphaBarPrevious, prediction });
      const mean = step.prediction * output + step.noised * noised;
      const tolerance = 1e-15 * (1 + Math.abs(step.prediction) + Math.abs(step.noised));
      expect(Math.abs(mean - ddpmMean)).toBeLessThanOrEqual(tolerance);
    },
  );

  it('has the variance of the Gaussian posterior', () => {
    const { noise } = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'x0' });
    expect(Math.abs(noise ** 2 - ddpmVariance)).toBeLessThanOrEqual(2e-15 * ddpmVariance);
  });

  it('has the larger variance, 1 - alpha, when asked, and none on the last step', () => {
    const { noise } = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'x0', variance: 'beta' });
    const expected = example.s === 0 ? 0 : stepBeta;
    expect(Math.abs(noise ** 2 - expected)).toBeLessThanOrEqual(2e-15 * expected);
    expect(noise ** 2).toBeGreaterThanOrEqual(ddpmVariance);
  });
});

describe('DDPM', () => {
  it('predicting noise is equation 11 of the paper', () => {
    for (const { alphaBar, alphaBarPrevious } of golden.cases) {
      const alpha = alphaBar / alphaBarPrevious;
      const step = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'noise' });
      const noised = 1 / Math.sqrt(alpha);
      const output = -(1 - alpha) / Math.sqrt(1 - alphaBar) / Math.sqrt(alpha);
      expect(Math.abs(step.noised / noised - 1)).toBeLessThanOrEqual(1e-12);
      expect(Math.abs(step.prediction / output - 1)).toBeLessThanOrEqual(1e-12);
    }
  });

  it('returns the predicted clean value on the step to s = 0', () => {
    const step = ddpmStep({ alphaBar: 0.999, alphaBarPrevious: 1, prediction: 'x0' });
    expect(step.noise).toBe(0);
    expect(step.noised).toBe(0);
    expect(step.prediction).toBe(1);
  });

  it('starts from pure noise when alphaBar is 0', () => {
    const step = ddpmStep({ alphaBar: 0, alphaBarPrevious: 0.25, prediction: 'x0' });
    expect(step).toEqual({ prediction: 0.5, noised: 0, noise: Math.sqrt(0.75) });
  });

  it('refuses bad arguments in one sentence', () => {
    const good: DdpmStep = { alphaBar: 0.5, alphaBarPrevious: 0.6, prediction: 'x0' };
    const faults: [object, string][] = [
      [{ alphaBar: 0.6 }, 'ddpmStep: expected alphaBar in [0, 0.6), got 0.6'],
      [{ alphaBar: 0, prediction: 'noise' }, 'ddpmStep: expected alphaBar in (0, 0.6), got 0'],
      [{ alphaBarPrevious: 1.5 }, 'ddpmStep: expected alphaBarPrevious in (0, 1], got 1.5'],
      [
        { prediction: 'eps' },
        `cleanCoefficients: expected prediction 'x0', 'noise' or 'v', got "eps"`,
      ],
      [{ variance: 'learned' }, `ddpmStep: expected variance 'posterior' or 'beta', got "learned"`],
    ];
    for (const [change, message] of faults) {
      expect(() => ddpmStep({ ...good, ...change })).toThrow(new ScheduleError(message));
    }
  });
});
