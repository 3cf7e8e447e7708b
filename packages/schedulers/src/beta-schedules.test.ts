// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alphaBars, betas, type BetaSchedule } from './beta-schedules.ts';
import { ScheduleError } from './errors.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/variance.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: {
    schedule: BetaSchedule;
    at: [number, number, number][];
    meanAlphaBar: number;
    firstBelowHalf: number | null;
  }[];
};
const paper = { kind: 'linear', timesteps: 1000, betaStart: 1e-4, betaEnd: 0.02 } as const;
const relative = (actual: number, expected: number): number => Math.abs(actual / expected - 1);

describe.each(golden.cases)('schedule $schedule', ({ schedule, at, ...summary }) => {
  const b = betas(schedule);
  const bars = alphaBars(schedule);

  it('has one entry per timestep', () => {
    expect([b.length, bars.length]).toEqual([schedule.timesteps, schedule.timesteps]);
  });

  it('agrees with the 50-digit tables to 1e-13 relative', () => {
    for (const [t, beta, bar] of at) {
      expect(relative(b[t - 1]!, beta), `beta at ${t}`).toBeLessThanOrEqual(1e-13);
      expect(relative(bars[t - 1]!, bar), `alphaBar at ${t}`).toBeLessThanOrEqual(1e-13);
    }
  });

  it('has the golden mean and half-way point of alphaBar', () => {
    const mean = bars.reduce((sum, bar) => sum + bar, 0) / bars.length;
    expect(relative(mean, summary.meanAlphaBar)).toBeLessThanOrEqual(1e-13);
    const first = bars.findIndex((bar) => bar < 0.5) + 1;
    expect(first === 0 ? null : first).toBe(summary.firstBelowHalf);
  });

  it('decreases strictly within (0, 1)', () => {
    expect(bars.every((bar, i) => bar > 0 && bar < (bars[i - 1] ?? 1))).toBe(true);
  });
});

describe('the schedule of the paper', () => {
  it('has the alphaBar values computed independently for exponent 0.8', () => {
    const bars = alphaBars({ ...paper, exponent: 0.8 });
    // Ten-digit figures from a separate NumPy float64 run of the definition; half a unit of the last digit.
    const table = [
      [1, 0.9993690427, 5e-11],
      [10, 0.9896003822, 5e-11],
      [50, 0.8802516146, 5e-11],
      [100, 0.6601961155, 5e-11],
      [200, 0.2475906853, 5e-11],
      [300, 0.0570331, 5e-11],
      [500, 8.009219e-4, 5e-12],
      [700, 2.1686e-6, 5e-11],
      [1000, 1.7077e-11, 5e-17],
    ] as const;
    for (const [t, expected, within] of table) {
      expect(Math.abs(bars[t - 1]! - expected), `t ${t}`).toBeLessThanOrEqual(within);
    }
  });

  it('has the alphaBar values computed independently for exponent 1', () => {
    const bars = alphaBars(paper);
    expect(Math.abs(bars[999]! - 4.03583e-5)).toBeLessThanOrEqual(5e-11);
    expect(bars.findIndex((bar) => bar < 0.5) + 1).toBe(260);
  });

  it('applies the exponent to beta and not to alphaBar', () => {
    expect(betas({ ...paper, exponent: 0.8 })[999]).toBe(0.02 ** 0.8);
  });

  it('survives JSON', () => {
    const schedule: BetaSchedule = { ...paper, exponent: 0.8 };
    const copy = JSON.parse(JSON.stringify(schedule)) as BetaSchedule;
    expect(alphaBars(copy)).toEqual(alphaBars(schedule));
  });
});

describe('bad schedules', () => {
  const faults: [object, string][] = [
    [{ timesteps: 0 }, 'betas: expected timesteps to be a whole number >= 1, got 0'],
    [{ timesteps: 1.5 }, 'betas: expected timesteps to be a whole number >= 1, got 1.5'],
    [{ exponent: 0 }, 'betas: expected exponent > 0, got 0'],
    [{ exponent: Number.NaN }, 'betas: expected exponent > 0, got NaN'],
    [{ betaStart: 0 }, 'betas: expected betaStart in (0, 1), got 0'],
    [{ betaStart: '0.1' }, 'betas: expected betaStart in (0, 1), got "0.1"'],
    [{ betaStart: 0.1 }, 'betas: expected betaEnd in [0.1, 1), got 0.02'],
    [{ betaEnd: 1 }, 'betas: expected betaEnd in [0.0001, 1), got 1'],
    [{ kind: 'cosine', maxBeta: 1 }, 'betas: expected maxBeta in (0, 1), got 1'],
    [{ kind: 'sigmoid', range: 0 }, 'betas: expected range > 0, got 0'],
    [
      { kind: 'quadratic' },
      `betas: expected kind 'linear', 'scaled-linear', 'cosine' or 'sigmoid', got "quadratic"`,
    ],
  ];

  it.each(faults)('%o is refused with "%s"', (change, message) => {
    const make = (): Float64Array => alphaBars({ ...paper, ...change });
    expect(make).toThrow(new ScheduleError(message));
  });

  it('is refused with an error of kind Config', () => {
    const thrown = (() => {
      try {
        return betas({ ...paper, timesteps: 0 });
      } catch (error) {
        return error;
      }
    })();
    expect(thrown).toBeInstanceOf(ScheduleError);
    expect(thrown).toMatchObject({ name: 'ScheduleError', kind: 'Config' });
  });
});
