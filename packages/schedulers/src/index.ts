// SPDX-License-Identifier: Apache-2.0
// @diffmavil/schedulers: numbers in, numbers out. One algorithm per file; start with beta-schedules.ts.
export {
  alphaBars,
  betas,
  type BetaSchedule,
  type CosineBetaSchedule,
  type LinearBetaSchedule,
  type SigmoidBetaSchedule,
} from './beta-schedules.ts';
export {
  alphaBarAt,
  cleanCoefficients,
  forwardCoefficients,
  noiseCoefficients,
  targetCoefficients,
  timestepFromUniform,
  type Prediction,
} from './diffusion.ts';
export { ddpmStep, type DdpmStep } from './ddpm.ts';
export { ddimStep, type DdimStep } from './ddim.ts';
export type { ReverseStep, StepCoefficients } from './reverse-step.ts';
export { respacedTimesteps, reversePath, type PathStep, type Spacing } from './respacing.ts';
export { maskRatio, minimumMaskRatio, type MaskRatioCurriculum } from './mask-ratio.ts';
export { adaptiveBatchSize } from './batch-size.ts';
export { absoluteLearningRate, learningRate, type LearningRateSchedule } from './learning-rate.ts';
export { layerDecayScales } from './layer-decay.ts';
export { ScheduleError } from './errors.ts';
