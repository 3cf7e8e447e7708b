// SPDX-License-Identifier: Apache-2.0
// The reverse step of DDIM [arXiv 2010.02502 eq. 12 and 16], whose alpha is our alphaBar.
import { cleanCoefficients, noiseCoefficients } from './diffusion.ts';
import { checkNumber } from './errors.ts';
import { checkReverseStep, type ReverseStep, type StepCoefficients } from './reverse-step.ts';

/** A DDIM step; `eta` goes from the deterministic step to the DDPM step. */
export interface DdimStep extends ReverseStep {
  /** Share of the DDPM posterior standard deviation added as fresh noise, in [0, 1]. Default 0. */
  readonly eta?: number;
}

/**
 * Coefficients of one DDIM step, x_s = prediction · output + noised · x_t + noise · z.
 * With eta = 0, x_s carries the same x_0 and eps as x_t; with eta = 1 it is the DDPM step with variance 'posterior'.
 *
 * @throws ScheduleError when a field is outside its range
 */
export function ddimStep(step: DdimStep): StepCoefficients {
  const eta = step.eta ?? 0;
  checkReverseStep('ddimStep', step);
  checkNumber('ddimStep', 'eta', eta, '[0, 1]');
  const { alphaBar, alphaBarPrevious } = step;
  const alpha = alphaBar / alphaBarPrevious;
  const beta = (alphaBarPrevious - alphaBar) / alphaBarPrevious; // 1 - alpha, without its rounding
  const ratio = (1 - alphaBarPrevious) / (1 - alphaBar);
  // eq. 16
  const sigma = eta * Math.sqrt(ratio * beta);
  // eq. 12: signal · x_0 + direction · eps + sigma · z, where direction² = 1 - alphaBar_s - sigma². With
  // 1 - alphaBar_t - beta = alpha (1 - alphaBar_s) that is a sum of positive terms, so nothing cancels.
  const signal = Math.sqrt(alphaBarPrevious);
  const share = 1 - eta * eta + eta * eta * alpha * ratio;
  const direction = Math.sqrt((1 - alphaBarPrevious) * share);
  const clean = cleanCoefficients(alphaBar, step.prediction);
  const noise = noiseCoefficients(alphaBar, step.prediction);
  return {
    prediction: signal * clean.prediction + direction * noise.prediction,
    noised: signal * clean.noised + direction * noise.noised,
    noise: sigma,
  };
}
