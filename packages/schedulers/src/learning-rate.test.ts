// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ScheduleError } from './errors.ts';
import { absoluteLearningRate, learningRate, type LearningRateSchedule } from './learning-rate.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/learning-rate.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: { schedule: LearningRateSchedule; at: [number, number][] }[];
};
const cosine = {
  kind: 'cosine',
  peak: 4e-4,
  floor: 1e-6,
  warmupSteps: 10,
  totalSteps: 100,
} as const;

describe('learning rate', () => {
  it.each(golden.cases)('of $schedule is golden', ({ schedule, at }) => {
    for (const [step, expected] of at) {
      const error = Math.abs(learningRate(schedule, step) - expected);
      expect(error, `step ${step}`).toBeLessThanOrEqual(1e-15 * schedule.peak);
    }
  });

  it('warms up from 0 to the peak, then ends at the floor and stays there', () => {
    expect([0, 5, 10, 100, 101].map((step) => learningRate(cosine, step))).toEqual([
      0, 2e-4, 4e-4, 1e-6, 1e-6,
    ]);
  });

  it('stays constant after the warm-up', () => {
    expect(learningRate({ kind: 'constant', peak: 0.5 }, 0)).toBe(0.5);
    const warmed: LearningRateSchedule = { kind: 'constant', peak: 0.5, warmupSteps: 4 };
    expect([0, 1, 4, 1e6].map((step) => learningRate(warmed, step))).toEqual([0, 0.125, 0.5, 0.5]);
  });

  it('halves at each listed step', () => {
    // The schedule of CAV-MAE: halve every 5 epochs from epoch 10.
    const halving: LearningRateSchedule = {
      kind: 'step',
      peak: 2e-4,
      factor: 0.5,
      steps: [10, 15, 20],
    };
    expect([0, 9, 10, 15, 24].map((epoch) => learningRate(halving, epoch))).toEqual([
      2e-4, 2e-4, 1e-4, 5e-5, 2.5e-5,
    ]);
  });

  it('scales base rates by batch / 256', () => {
    // MAViL Table 10: base 1e-3 at batch 64 is the 2.5e-4 that DiffMAViL Table 4 prints for AS-20K.
    expect(absoluteLearningRate(1e-3, 64)).toBe(2.5e-4);
    expect(absoluteLearningRate(2e-4, 512)).toBe(4e-4);
  });
});

describe('bad arguments', () => {
  const step = { kind: 'step', peak: 1, factor: 0.5, steps: [1] } as const;
  const faults: [object, string][] = [
    [{ ...cosine, peak: 0 }, 'learningRate: expected peak > 0, got 0'],
    [{ ...cosine, floor: 1 }, 'learningRate: expected floor in [0, 0.0004], got 1'],
    [{ ...cosine, totalSteps: 0 }, 'learningRate: expected totalSteps > 0, got 0'],
    [{ ...cosine, warmupSteps: 101 }, 'learningRate: expected warmupSteps in [0, 100], got 101'],
    [
      { kind: 'constant', peak: 1, warmupSteps: -1 },
      'learningRate: expected warmupSteps >= 0, got -1',
    ],
    [{ ...step, factor: 0 }, 'learningRate: expected factor in (0, 1], got 0'],
    [{ ...step, steps: 5 }, 'learningRate: expected steps to be a list, got 5'],
    [{ ...step, steps: [5, 5] }, 'learningRate: expected steps[1] > 5, got 5'],
    [
      { kind: 'poly', peak: 1 },
      `learningRate: expected kind 'cosine', 'constant' or 'step', got "poly"`,
    ],
  ];

  it.each(faults)('%o is refused with "%s"', (schedule, message) => {
    const call = (): number => learningRate(schedule as LearningRateSchedule, 0);
    expect(call).toThrow(new ScheduleError(message));
  });

  it('refuses a negative step, rate or batch', () => {
    expect(() => learningRate(cosine, -1)).toThrow(
      new ScheduleError('learningRate: expected step >= 0, got -1'),
    );
    expect(() => absoluteLearningRate(0, 64)).toThrow(
      new ScheduleError('absoluteLearningRate: expected baseRate > 0, got 0'),
    );
    expect(() => absoluteLearningRate(1e-3, Infinity)).toThrow(
      new ScheduleError('absoluteLearningRate: expected batchSize > 0, got Infinity'),
    );
  });
});
