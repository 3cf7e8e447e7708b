// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alphaBars } from './beta-schedules.ts';
import { ddimStep } from './ddim.ts';
import { ddpmStep } from './ddpm.ts';
import { forwardCoefficients, targetCoefficients, type Prediction } from './diffusion.ts';
import { ScheduleError } from './errors.ts';
import { respacedTimesteps, reversePath } from './respacing.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/reverse-steps.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  x0: number;
  eps: number;
  z: number;
  cases: {
    exponent: number;
    t: number;
    s: number;
    alphaBar: number;
    alphaBarPrevious: number;
    noised: number;
    ddim: [number, number][];
  }[];
};
const { x0, eps, z } = golden;
const predictions: Prediction[] = ['x0', 'noise', 'v'];

describe.each(golden.cases)('DDIM from t=$t to s=$s, exponent $exponent', (example) => {
  const { alphaBar, alphaBarPrevious, noised, ddim } = example;

  it.each(predictions)('lands on the golden x_s when %s is predicted exactly', (prediction) => {
    const target = targetCoefficients(alphaBar, prediction);
    const output = target.clean * x0 + target.noise * eps;
    for (const [eta, expected] of ddim) {
      const step = ddimStep({ alphaBar, alphaBarPrevious, prediction, eta });
      const actual = step.prediction * output + step.noised * noised + step.noise * z;
      // Terms as large as 1 / sqrt(alphaBar) cancel: 2e5 at t = 1000, exponent 0.8, for noise predictions.
      const tolerance = 1e-15 * (1 + Math.abs(step.prediction) + Math.abs(step.noised));
      expect(Math.abs(actual - expected), `eta ${eta}`).toBeLessThanOrEqual(tolerance);
    }
  });

  it('keeps x_0 and eps without fresh noise', () => {
    const step = ddimStep({ alphaBar, alphaBarPrevious, prediction: 'v' });
    const { signal, noise } = forwardCoefficients(alphaBarPrevious);
    const v = targetCoefficients(alphaBar, 'v');
    const actual = step.prediction * (v.clean * x0 + v.noise * eps) + step.noised * noised;
    expect(step.noise).toBe(0);
    expect(Math.abs(actual - (signal * x0 + noise * eps))).toBeLessThanOrEqual(1e-14);
  });

  it('is the DDPM step with posterior variance at eta = 1', () => {
    const ddim = ddimStep({ alphaBar, alphaBarPrevious, prediction: 'x0', eta: 1 });
    const ddpm = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'x0' });
    // The 'x0' coefficient is a difference of terms of the size of the 'x_t' coefficient.
    const tolerance = 1e-15 * (1 + Math.abs(ddpm.noised));
    expect(Math.abs(ddim.prediction - ddpm.prediction)).toBeLessThanOrEqual(tolerance);
    expect(Math.abs(ddim.noised - ddpm.noised)).toBeLessThanOrEqual(tolerance);
    expect(Math.abs(ddim.noise - ddpm.noise)).toBeLessThanOrEqual(1e-15);
  });
});

describe('DDIM over a whole path', () => {
  const table = alphaBars({
    kind: 'linear',
    timesteps: 1000,
    betaStart: 1e-4,
    betaEnd: 0.02,
    exponent: 0.8,
  });

  it.each(predictions)('walks exact predictions of %s back to x_0', (prediction) => {
    const path = reversePath(table, respacedTimesteps(1000, 20));
    const start = forwardCoefficients(path[0]!.alphaBar);
    let x = start.signal * x0 + start.noise * eps;
    for (const hop of path) {
      const target = targetCoefficients(hop.alphaBar, prediction);
      const step = ddimStep({ ...hop, prediction });
      x = step.prediction * (target.clean * x0 + target.noise * eps) + step.noised * x;
    }
    // The first noise step starts at signal 4e-6, so it magnifies rounding 2e5 times.
    expect(Math.abs(x - x0)).toBeLessThanOrEqual(prediction === 'noise' ? 1e-9 : 1e-14);
  });
});

it('refuses bad arguments in one sentence', () => {
  const good = { alphaBar: 0.5, alphaBarPrevious: 0.6, prediction: 'x0' } as const;
  expect(() => ddimStep({ ...good, eta: 1.5 })).toThrow(
    new ScheduleError('ddimStep: expected eta in [0, 1], got 1.5'),
  );
  expect(() => ddimStep({ ...good, alphaBarPrevious: 0 })).toThrow(
    new ScheduleError('ddimStep: expected alphaBarPrevious in (0, 1], got 0'),
  );
});
