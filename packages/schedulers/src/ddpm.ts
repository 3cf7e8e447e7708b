// SPDX-License-Identifier: Apache-2.0
// The ancestral reverse step of DDPM [DDPM eq. 6-7], for any two timesteps s < t:
// with alpha = alphaBar_t / alphaBar_s and beta = 1 - alpha it is the paper's step when s = t - 1.
import { cleanCoefficients } from './diffusion.ts';
import { unexpected } from './errors.ts';
import { checkReverseStep, type ReverseStep, type StepCoefficients } from './reverse-step.ts';

/** A DDPM step; `variance` picks one of the two choices of [DDPM §3.2]. */
export interface DdpmStep extends ReverseStep {
  /** 'posterior': the variance of q(x_s | x_t, x_0), the smaller; 'beta': 1 - alpha, the larger. Default 'posterior'. */
  readonly variance?: 'posterior' | 'beta';
}

/**
 * Coefficients of one DDPM step, x_s = prediction · output + noised · x_t + noise · z.
 * No noise is added on the step to s = 0 [DDPM algorithm 2].
 *
 * @throws ScheduleError when a field is outside its range
 */
export function ddpmStep(step: DdpmStep): StepCoefficients {
  checkReverseStep('ddpmStep', step);
  const { alphaBar, alphaBarPrevious } = step;
  const alpha = alphaBar / alphaBarPrevious;
  const beta = (alphaBarPrevious - alphaBar) / alphaBarPrevious; // 1 - alpha, without its rounding
  const clean = cleanCoefficients(alphaBar, step.prediction);
  // [DDPM eq. 7]: mean = fromClean · x_0 + fromNoised · x_t
  const fromClean = (Math.sqrt(alphaBarPrevious) * beta) / (1 - alphaBar);
  const fromNoised = (Math.sqrt(alpha) * (1 - alphaBarPrevious)) / (1 - alphaBar);
  return {
    prediction: fromClean * clean.prediction,
    noised: fromClean * clean.noised + fromNoised,
    noise: Math.sqrt(stepVariance(step, beta)),
  };
}

function stepVariance({ alphaBar, alphaBarPrevious, variance }: DdpmStep, beta: number): number {
  switch (variance) {
    case undefined:
    case 'posterior':
      return (beta * (1 - alphaBarPrevious)) / (1 - alphaBar);
    case 'beta':
      return alphaBarPrevious === 1 ? 0 : beta;
    default:
      variance satisfies never;
      throw unexpected('ddpmStep', `variance 'posterior' or 'beta'`, variance);
  }
}
