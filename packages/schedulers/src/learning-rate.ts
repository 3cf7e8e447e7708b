// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules, evaluated per iteration: linear warm-up, then half a cosine, a constant, or steps down.
// Steps count from 0. Any unit serves if all fields share it, so epochs with fractions work too.
import { checkNumber, unexpected } from './errors.ts';

/** A learning-rate schedule as plain JSON. Rates are absolute: see `absoluteLearningRate`. */
export type LearningRateSchedule =
  | {
      /** [MAE]: warm-up, then half a cosine from peak to floor; floor from totalSteps on. */
      readonly kind: 'cosine';
      /** Rate at the end of the warm-up, > 0. */
      readonly peak: number;
      /** Rate at the end, in [0, peak]. */
      readonly floor: number;
      /** Steps of linear warm-up from 0, in [0, totalSteps]. */
      readonly warmupSteps: number;
      /** Steps of the whole run, warm-up included, > 0. */
      readonly totalSteps: number;
    }
  | {
      readonly kind: 'constant';
      readonly peak: number;
      /** >= 0. Default 0. */
      readonly warmupSteps?: number;
    }
  | {
      readonly kind: 'step';
      readonly peak: number;
      /** >= 0. Default 0. */
      readonly warmupSteps?: number;
      /** The rate is multiplied by this at each entry of `steps`, in (0, 1]. */
      readonly factor: number;
      /** Steps of change, counted from 0, increasing. */
      readonly steps: readonly number[];
    };

/**
 * The learning rate of one iteration. Warm-up gives peak · step / warmupSteps, so step 0 of a warmed-up run has
 * rate 0, as in [MAE].
 *
 * @param step counted from 0, >= 0
 * @throws ScheduleError when an argument or a field is outside its range
 */
export function learningRate(schedule: LearningRateSchedule, step: number): number {
  checkNumber('learningRate', 'step', step, '>= 0');
  checkSchedule(schedule);
  const { peak, warmupSteps = 0 } = schedule;
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  switch (schedule.kind) {
    case 'cosine': {
      const { floor, totalSteps } = schedule;
      if (step >= totalSteps) return floor;
      const progress = (step - warmupSteps) / (totalSteps - warmupSteps);
      return floor + ((peak - floor) * (1 + Math.cos(Math.PI * progress))) / 2;
    }
    case 'constant':
      return peak;
    case 'step':
      return peak * schedule.factor ** schedule.steps.filter((change) => change <= step).length;
    default:
      schedule satisfies never;
      throw unknownKind(schedule);
  }
}

/**
 * The absolute rate for a base rate given per 256 clips: baseRate · batchSize / 256 [MAE §A.1, MAViL Table 10].
 * Tables of DiffMAViL already hold absolute rates.
 *
 * @param baseRate > 0
 * @param batchSize clips per optimizer step over all devices, > 0
 * @throws ScheduleError when an argument is outside its range
 */
export function absoluteLearningRate(baseRate: number, batchSize: number): number {
  checkNumber('absoluteLearningRate', 'baseRate', baseRate, '> 0');
  checkNumber('absoluteLearningRate', 'batchSize', batchSize, '> 0');
  return (baseRate * batchSize) / 256;
}

function checkSchedule(schedule: LearningRateSchedule): void {
  const where = 'learningRate';
  const { kind } = schedule;
  switch (kind) {
    case 'cosine':
      checkNumber(where, 'peak', schedule.peak, '> 0');
      checkNumber(where, 'floor', schedule.floor, `[0, ${schedule.peak}]`);
      checkNumber(where, 'totalSteps', schedule.totalSteps, '> 0');
      checkNumber(where, 'warmupSteps', schedule.warmupSteps, `[0, ${schedule.totalSteps}]`);
      return;
    case 'constant':
    case 'step':
      checkNumber(where, 'peak', schedule.peak, '> 0');
      checkNumber(where, 'warmupSteps', schedule.warmupSteps ?? 0, '>= 0');
      if (kind === 'step') checkSteps(schedule.factor, schedule.steps);
      return;
    default:
      kind satisfies never;
      throw unknownKind(schedule);
  }
}

function checkSteps(factor: number, steps: readonly number[]): void {
  checkNumber('learningRate', 'factor', factor, '(0, 1]');
  if (!Array.isArray(steps)) throw unexpected('learningRate', 'steps to be a list', steps);
  steps.forEach((step, i) => {
    const range = i === 0 ? '>= 0' : `> ${steps[i - 1]}`;
    checkNumber('learningRate', `steps[${i}]`, step, range);
  });
}

function unknownKind(schedule: unknown): Error {
  const kind = (schedule as { kind?: unknown }).kind;
  return unexpected('learningRate', `kind 'cosine', 'constant' or 'step'`, kind);
}
