// SPDX-License-Identifier: Apache-2.0
// The forward process q(x_t | x_0) and the three quantities a network may be trained to predict.
// Formulas use alphaBar only, so they hold for any schedule and any pair of timesteps.
import { checkInteger, checkNumber, unexpected } from './errors.ts';

/** What the network outputs: the clean values x_0, the noise eps, or v = sqrt(alphaBar) eps - sqrt(1 - alphaBar) x_0. */
export type Prediction = 'x0' | 'noise' | 'v';

/**
 * x_t = signal · x_0 + noise · eps [DDPM eq. 4].
 *
 * @param alphaBar in [0, 1]
 * @returns sqrt(alphaBar) and sqrt(1 - alphaBar)
 * @throws ScheduleError when alphaBar is outside [0, 1]
 */
export function forwardCoefficients(alphaBar: number): { signal: number; noise: number } {
  checkNumber('forwardCoefficients', 'alphaBar', alphaBar, '[0, 1]');
  return { signal: Math.sqrt(alphaBar), noise: Math.sqrt(1 - alphaBar) };
}

/**
 * alphaBar of timestep t in a table made by `alphaBars`; timestep 0 is the clean value, alphaBar 1.
 *
 * @param timestep a whole number in [0, T], T the length of the table
 * @throws ScheduleError when the timestep is outside the table
 */
export function alphaBarAt(table: ArrayLike<number>, timestep: number): number {
  checkInteger('alphaBarAt', 'timestep', timestep, `[0, ${table.length}]`);
  return timestep === 0 ? 1 : (table[timestep - 1] as number);
}

/**
 * A timestep uniform over 1..T from a uniform draw, for training [DDPM algorithm 1].
 *
 * @param uniform in [0, 1)
 * @param timesteps T, a whole number >= 1
 * @throws ScheduleError when an argument is outside its range
 */
export function timestepFromUniform(uniform: number, timesteps: number): number {
  checkNumber('timestepFromUniform', 'uniform', uniform, '[0, 1)');
  checkInteger('timestepFromUniform', 'timesteps', timesteps, '>= 1');
  return Math.min(1 + Math.floor(uniform * timesteps), timesteps);
}

/**
 * The training target of a prediction kind: target = clean · x_0 + noise · eps
 * [`v`: arXiv 2202.00512 §4].
 *
 * @param alphaBar in [0, 1]
 * @throws ScheduleError when an argument is outside its range
 */
export function targetCoefficients(
  alphaBar: number,
  prediction: Prediction,
): { clean: number; noise: number } {
  checkNumber('targetCoefficients', 'alphaBar', alphaBar, '[0, 1]');
  switch (prediction) {
    case 'x0':
      return { clean: 1, noise: 0 };
    case 'noise':
      return { clean: 0, noise: 1 };
    case 'v':
      return { clean: -Math.sqrt(1 - alphaBar), noise: Math.sqrt(alphaBar) };
    default:
      prediction satisfies never;
      throw unknownPrediction('targetCoefficients', prediction);
  }
}

/**
 * Recovers x_0 from a prediction: x_0 = prediction · output + noised · x_t [DDPM eq. 15 for `noise`].
 * To clip x_0, use these, clip, and go on with the step coefficients of prediction 'x0'.
 *
 * @param alphaBar in [0, 1]; in (0, 1] for 'noise', since pure noise says nothing about x_0
 * @throws ScheduleError when an argument is outside its range
 */
export function cleanCoefficients(
  alphaBar: number,
  prediction: Prediction,
): { prediction: number; noised: number } {
  const range = prediction === 'noise' ? '(0, 1]' : '[0, 1]';
  checkNumber('cleanCoefficients', 'alphaBar', alphaBar, range);
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  switch (prediction) {
    case 'x0':
      return { prediction: 1, noised: 0 };
    case 'noise':
      return { prediction: -noise / signal, noised: 1 / signal };
    case 'v':
      return { prediction: -noise, noised: signal };
    default:
      prediction satisfies never;
      throw unknownPrediction('cleanCoefficients', prediction);
  }
}

/**
 * Recovers eps from a prediction: eps = prediction · output + noised · x_t.
 *
 * @param alphaBar in [0, 1]; in [0, 1) for 'x0', since a clean value holds no noise to recover
 * @throws ScheduleError when an argument is outside its range
 */
export function noiseCoefficients(
  alphaBar: number,
  prediction: Prediction,
): { prediction: number; noised: number } {
  const range = prediction === 'x0' ? '[0, 1)' : '[0, 1]';
  checkNumber('noiseCoefficients', 'alphaBar', alphaBar, range);
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  switch (prediction) {
    case 'x0':
      return { prediction: -signal / noise, noised: 1 / noise };
    case 'noise':
      return { prediction: 1, noised: 0 };
    case 'v':
      return { prediction: signal, noised: noise };
    default:
      prediction satisfies never;
      throw unknownPrediction('noiseCoefficients', prediction);
  }
}

function unknownPrediction(where: string, prediction: unknown): Error {
  return unexpected(where, `prediction 'x0', 'noise' or 'v'`, prediction);
}
