// SPDX-License-Identifier: Apache-2.0
// Hidden patches sampled from pure noise, the visible ones fixed [DiffMAE §3], by the reverse steps of DDPM [DDPM alg. 2] or DDIM
// [arXiv 2010.02502]. The visible tokens are encoded once; every step runs the decoders, which predict x_0. DiffMAViL never samples.
import { ConfigError, disposeTree, fold, normals } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import { ddimStep, ddpmStep, respacedTimesteps, reversePath } from '@diffmavil/schedulers';
import type { PathStep, Spacing, StepCoefficients } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';

import type { ComputeOptions } from './blocks.ts';
import { targetPatchValues } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { alphaBarTable } from './diffusion.ts';
import { mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { maskRatioOf } from './masking.ts';
import type { MaskRatios } from './masking.ts';
import type { Parameters } from './parameters.ts';
import { maskedPredictor } from './predict-masked.ts';
import { checkSameBatch, splitTokens } from './split-tokens.ts';

/** The reverse step: DDPM's, or DDIM's with a share `eta` of its fresh noise, 0..1; 0 (default) adds none. */
export type Sampler =
  | { readonly kind: 'ddpm'; readonly variance?: 'posterior' | 'beta' }
  | { readonly kind: 'ddim'; readonly eta?: number };

/** What one modality brings. */
export interface SampleInput {
  /** Normalised patches [batch, tokens, patchValues]; only the visible ones are read. */
  readonly patches: tf.Tensor;
  /** int32 [batch, tokens], a permutation per clip: the visible tokens first, the rest is sampled. */
  readonly order: tf.Tensor;
  /** One key per clip: its noise. */
  readonly keys: readonly Key[];
}

/** Where a path stands at one of its steps. */
export interface SampleState {
  readonly step: PathStep;
  /** x_t [batch, masked, targetPatchValues] of each modality, before the step. */
  readonly noised: PerModality<tf.Tensor3D>;
  /** The x_0 predicted from it, clipped if asked. */
  readonly prediction: PerModality<tf.Tensor3D>;
}

export interface SampleOptions extends ComputeOptions {
  /** Reverse steps, 1..T. */
  readonly steps: number;
  /** Default DDPM with the posterior variance. */
  readonly sampler?: Sampler;
  /** Which of the T timesteps are visited. Default 'trailing', which starts at T. */
  readonly spacing?: Spacing;
  /**
   * Lowest and highest value of a predicted x_0; null: any. Default null: DDPM clips pictures scaled to [-1, 1], patches here are
   * normalised by mean and deviation and reach further.
   */
  readonly clip?: readonly [low: number, high: number] | null;
  /** Called at every step; it must neither keep nor dispose the tensors. */
  readonly onStep?: (state: SampleState) => void;
}

/**
 * Samples the hidden patches of each modality at hand, one or both: [batch, masked, targetPatchValues], aligned with order[K..). Both take
 * their steps together. maskRatio as in `pretrainForward`. The caller disposes the result.
 * Throws ConfigError for a model that cannot sample: one with mask tokens, or with normalised targets, which cannot be noised again;
 * ScheduleError for steps or eta out of range.
 */
export function samplePatches(
  config: ModelConfig,
  parameters: Parameters,
  inputs: PerModality<SampleInput>,
  maskRatio: MaskRatios,
  options: SampleOptions,
): PerModality<tf.Tensor3D> {
  const path = samplingPath(config, options);
  return tf.tidy(() => {
    // The sampler brings the noise, and there is no second view.
    const plain: ModelConfig = {
      ...config,
      masked: { kind: 'mask-token' },
      loss: { ...config.loss, intraWeight: 0 },
    };
    const split = mapPresent(inputs, (_, m) =>
      splitTokens(plain, m, inputs, maskRatioOf(maskRatio, m), 'samplePatches'),
    );
    checkSameBatch(split, 'samplePatches');
    const predict = maskedPredictor(config, parameters, split, options);
    const draw = (step: number): PerModality<tf.Tensor3D> =>
      mapPresent(split, ({ masked }, m) => {
        const { keys } = of(inputs, m);
        const [batch = 0, count = 0] = masked.shape;
        checkKeys(m, keys, batch);
        return keyedNormals(keys, step, [count, targetPatchValues(config, m)]);
      });
    let noised = draw(0);
    for (const [i, step] of path.entries()) {
      const from = noised;
      noised = tf.tidy(() => {
        const prediction = clipped(predict(from), options.clip ?? null);
        options.onStep?.({ step, noised: from, prediction });
        return stepBack({ step, noised: from, prediction }, options.sampler, () => draw(i + 1));
      });
      disposeTree(from);
    }
    return noised;
  });
}

/** x_s from x_t and the x_0 predicted from it; fresh noise is drawn only where the step takes some. */
function stepBack(
  { step, noised, prediction }: SampleState,
  sampler: Sampler | undefined,
  draw: () => PerModality<tf.Tensor3D>,
): PerModality<tf.Tensor3D> {
  const scale = coefficients(step, sampler);
  const fresh = scale.noise === 0 ? {} : draw();
  return mapPresent(noised, (x, m) => {
    const mean = tf.add<tf.Tensor3D>(
      tf.mul(of(prediction, m), scale.prediction),
      tf.mul(x, scale.noised),
    );
    return fresh[m] === undefined ? mean : tf.add(mean, tf.mul(fresh[m], scale.noise));
  });
}

/** The hops of a path over a model's schedule, or why there is none. */
function samplingPath(config: ModelConfig, { steps, spacing }: SampleOptions): readonly PathStep[] {
  if (config.masked.kind === 'mask-token') {
    throw new ConfigError(
      'samplePatches: expected a model with diffused patches, got one with mask tokens. Try: one step',
    );
  }
  if (config.loss.normalizeTargets) {
    throw new ConfigError(
      'samplePatches: expected a model of raw targets, got one of normalised targets, which cannot be noised again. Try: one step',
    );
  }
  const visited = respacedTimesteps(config.masked.timesteps, steps, spacing);
  return reversePath(alphaBarTable(config.masked), visited);
}

function coefficients(
  { alphaBar, alphaBarPrevious }: PathStep,
  sampler: Sampler = { kind: 'ddpm' },
): StepCoefficients {
  const step = { alphaBar, alphaBarPrevious, prediction: 'x0' } as const;
  switch (sampler.kind) {
    case 'ddpm':
      return ddpmStep({ ...step, variance: sampler.variance ?? 'posterior' });
    case 'ddim':
      return ddimStep({ ...step, eta: sampler.eta ?? 0 });
    default:
      sampler satisfies never;
      throw new ConfigError("samplePatches: expected sampler 'ddpm' or 'ddim', got another");
  }
}

function clipped(
  prediction: PerModality<tf.Tensor3D>,
  clip: readonly [number, number] | null,
): PerModality<tf.Tensor3D> {
  if (clip === null) return prediction;
  const [low, high] = clip;
  if (!(low < high)) {
    throw new ConfigError(`samplePatches: expected clip [low, high], got [${low}, ${high}]`);
  }
  return mapPresent(prediction, (x) => tf.clipByValue(x, low, high));
}

/** Standard normals [keys, rows, columns]; a clip's depend on its key and the step alone. */
function keyedNormals(
  keys: readonly Key[],
  step: number,
  [rows, columns]: readonly [number, number],
): tf.Tensor3D {
  const values = new Float32Array(keys.length * rows * columns);
  for (const [i, key] of keys.entries()) {
    values.set(normals(fold(key, 'sample', step), rows * columns), i * rows * columns);
  }
  return tf.tensor3d(values, [keys.length, rows, columns]);
}

function checkKeys(modality: Modality, keys: readonly Key[], batch: number): void {
  if (keys.length === batch) return;
  throw new ConfigError(
    `samplePatches: expected ${batch} keys for ${modality}, got ${keys.length}`,
  );
}

/** The value of a modality that is there. */
function of<T>(values: PerModality<T>, modality: Modality): T {
  return values[modality] as T;
}
