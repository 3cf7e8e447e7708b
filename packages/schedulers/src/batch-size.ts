// SPDX-License-Identifier: Apache-2.0
// Adaptive batch size [DiffMAViL §3]: a higher mask ratio leaves fewer visible tokens per clip, so more clips
// fit in the same compute. Choice: the learning rate is not rescaled with it, the paper mentions no scaling.
import { checkInteger } from './errors.ts';
import { maskRatio, minimumMaskRatio, type MaskRatioCurriculum } from './mask-ratio.ts';

/**
 * Clips per step in epoch e, B_e = floor((1 - rho_min) / (1 - rho_e) · B_0 + 1e-9).
 * Choice: floor, so that no epoch holds more visible tokens than B_0 clips do at rho_min; the 1e-9 keeps a
 * whole number whole (0.2 / 0.1 in float64 is below 2), as in the visible-token count of the model.
 *
 * @param baseBatch B_0, clips per step at the curriculum's smallest ratio; a whole number >= 1
 * @param epoch counted from 0, a whole number in [0, epochs - 1]
 * @param epochs length of the run, a whole number >= 1
 * @returns a whole number >= baseBatch
 * @throws ScheduleError when an argument or a field of the curriculum is outside its range
 */
export function adaptiveBatchSize(
  baseBatch: number,
  curriculum: MaskRatioCurriculum,
  epoch: number,
  epochs: number,
): number {
  checkInteger('adaptiveBatchSize', 'baseBatch', baseBatch, '>= 1');
  const ratio = maskRatio(curriculum, epoch, epochs);
  const scale = (1 - minimumMaskRatio(curriculum)) / (1 - ratio);
  return Math.max(Math.floor(scale * baseBatch + 1e-9), baseBatch);
}
