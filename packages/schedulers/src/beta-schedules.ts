// SPDX-License-Identifier: Apache-2.0
// Variance schedules of the forward diffusion and their cumulative products, in float64.
// Timesteps run t = 1..T as in the papers; a table holds timestep t at index t - 1.
import { checkInteger, checkNumber, unexpected } from './errors.ts';

interface CommonFields {
  /** T, the number of diffusion timesteps; a whole number >= 1. */
  readonly timesteps: number;
  /** phi > 0; the variance used is beta_t^phi, so phi < 1 adds noise at early timesteps. Default 1. */
  readonly exponent?: number;
}

/** `linear`: beta_t on a line from betaStart to betaEnd [DDPM §4]; `scaled-linear`: sqrt(beta_t) on a line. */
export interface LinearBetaSchedule extends CommonFields {
  readonly kind: 'linear' | 'scaled-linear';
  /** beta_1, in (0, 1). */
  readonly betaStart: number;
  /** beta_T, in [betaStart, 1). */
  readonly betaEnd: number;
}

/** alphaBar follows a squared cosine [arXiv 2102.09672 eq. 17, s = 0.008]. */
export interface CosineBetaSchedule extends CommonFields {
  readonly kind: 'cosine';
  /** Upper limit of beta_t before the exponent, in (0, 1). Default 0.999. */
  readonly maxBeta?: number;
}

/** beta_t on a logistic curve from about betaStart to about betaEnd. */
export interface SigmoidBetaSchedule extends CommonFields {
  readonly kind: 'sigmoid';
  /** Lower asymptote, in (0, 1). */
  readonly betaStart: number;
  /** Upper asymptote, in [betaStart, 1). */
  readonly betaEnd: number;
  /** The logistic function is sampled evenly over [-range, range]; > 0. Default 6. */
  readonly range?: number;
}

/** A variance schedule as plain JSON. */
export type BetaSchedule = LinearBetaSchedule | CosineBetaSchedule | SigmoidBetaSchedule;

/**
 * Noise variances b_t = beta_t^exponent [DiffMAViL §C], t at index t - 1.
 *
 * @returns [timesteps], each in (0, 1)
 * @throws ScheduleError when a field is outside its range
 */
export function betas(schedule: BetaSchedule): Float64Array {
  const exponent = schedule.exponent ?? 1;
  checkInteger('betas', 'timesteps', schedule.timesteps, '>= 1');
  checkNumber('betas', 'exponent', exponent, '> 0');
  const table = plainBetas(schedule);
  return exponent === 1 ? table : table.map((beta) => beta ** exponent);
}

/**
 * alphaBar_t = (1 - b_1)(1 - b_2) … (1 - b_t) [DDPM eq. 4], t at index t - 1.
 * `alphaBarAt` reads it by timestep.
 *
 * @returns [timesteps], decreasing, each in [0, 1)
 * @throws ScheduleError when a field is outside its range
 */
export function alphaBars(schedule: BetaSchedule): Float64Array {
  let product = 1;
  return betas(schedule).map((beta) => (product *= 1 - beta));
}

function plainBetas(schedule: BetaSchedule): Float64Array {
  switch (schedule.kind) {
    case 'linear': {
      checkEnds(schedule);
      return line(schedule.timesteps, schedule.betaStart, schedule.betaEnd);
    }
    case 'scaled-linear': {
      checkEnds(schedule);
      const roots = [Math.sqrt(schedule.betaStart), Math.sqrt(schedule.betaEnd)] as const;
      return line(schedule.timesteps, ...roots).map((root) => root * root);
    }
    case 'cosine':
      return cosine(schedule.timesteps, schedule.maxBeta ?? 0.999);
    case 'sigmoid': {
      checkEnds(schedule);
      const range = schedule.range ?? 6;
      checkNumber('betas', 'range', range, '> 0');
      const span = schedule.betaEnd - schedule.betaStart;
      return line(schedule.timesteps, -range, range).map(
        (x) => schedule.betaStart + span / (1 + Math.exp(-x)),
      );
    }
    default:
      schedule satisfies never;
      throw unexpected(
        'betas',
        `kind 'linear', 'scaled-linear', 'cosine' or 'sigmoid'`,
        (schedule as BetaSchedule).kind,
      );
  }
}

/** Evenly spaced values, both ends included; one value is the start. */
function line(count: number, start: number, end: number): Float64Array {
  const last = Math.max(count - 1, 1);
  return Float64Array.from({ length: count }, (_, i) => start + ((end - start) * i) / last);
}

/**
 * beta_t = min(1 - f(t) / f(t - 1), maxBeta), f(t) = cos²(angle(t)), angle(t) = (t/T + s) / (1 + s) · π/2.
 * Written as sin(b - a) sin(a + b) / cos²(a) with a = angle(t - 1), b = angle(t): no cancellation at small t.
 */
function cosine(timesteps: number, maxBeta: number): Float64Array {
  checkNumber('betas', 'maxBeta', maxBeta, '(0, 1)');
  const offset = 0.008;
  const angle = (t: number): number => ((t / timesteps + offset) / (1 + offset)) * (Math.PI / 2);
  const width = Math.PI / 2 / (1 + offset) / timesteps;
  return Float64Array.from({ length: timesteps }, (_, i) => {
    const beta = (Math.sin(width) * Math.sin(angle(i) + angle(i + 1))) / Math.cos(angle(i)) ** 2;
    return Math.min(beta, maxBeta);
  });
}

function checkEnds({ betaStart, betaEnd }: { betaStart: number; betaEnd: number }): void {
  checkNumber('betas', 'betaStart', betaStart, '(0, 1)');
  checkNumber('betas', 'betaEnd', betaEnd, `[${betaStart}, 1)`);
}
