// SPDX-License-Identifier: Apache-2.0
// What the DDPM and DDIM steps share: the arguments, the checks and the form of the answer.
import type { Prediction } from './diffusion.ts';
import { checkNumber } from './errors.ts';

/** One reverse step from timestep t down to an earlier timestep s; s need not be t - 1. */
export interface ReverseStep {
  /** alphaBar_t, in [0, alphaBarPrevious); in (0, alphaBarPrevious) when the network predicts noise. */
  readonly alphaBar: number;
  /** alphaBar_s, in (0, 1]; 1 when s = 0, the clean value. */
  readonly alphaBarPrevious: number;
  /** What the network outputs. */
  readonly prediction: Prediction;
}

/** x_s = prediction · output + noised · x_t + noise · z, with z ~ N(0, 1) drawn by the caller. */
export interface StepCoefficients {
  readonly prediction: number;
  readonly noised: number;
  /** Standard deviation of the fresh noise; 0 when the step is deterministic or ends at s = 0. */
  readonly noise: number;
}

/** Throws a ScheduleError unless 0 <= alphaBar < alphaBarPrevious <= 1 (0 < alphaBar for noise prediction). */
export function checkReverseStep(where: string, step: ReverseStep): void {
  const { alphaBar, alphaBarPrevious, prediction } = step;
  checkNumber(where, 'alphaBarPrevious', alphaBarPrevious, '(0, 1]');
  const left = prediction === 'noise' ? '(' : '[';
  checkNumber(where, 'alphaBar', alphaBar, `${left}0, ${alphaBarPrevious})`);
}
