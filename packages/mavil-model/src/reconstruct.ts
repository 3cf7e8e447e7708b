// SPDX-License-Identifier: Apache-2.0
// Filling in masked patches of one clip with a pre-trained model: one step from x_t, as in training [DiffMAViL App. B.2], or sampled
// from pure noise over many steps (sampling.ts).
import { ConfigError, fold, keysTensorData, makeKey } from '@diffmavil/core';
import type { DiffusedPatches, Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { Modality, ModelConfig } from './config.ts';
import { targetPatches } from './diffusion.ts';
import { mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { drawMask, maskRatioOf, pretrainVisibleCount } from './masking.ts';
import type { MaskRatios } from './masking.ts';
import type { Parameters } from './parameters.ts';
import { maskedPredictor } from './predict-masked.ts';
import { samplePatches } from './sampling.ts';
import type { SampleOptions, SampleState } from './sampling.ts';
import { diffusedTargets, splitTokens } from './split-tokens.ts';
import type { ModalityInput, SplitTokens } from './split-tokens.ts';

export interface ReconstructOptions extends Pick<SampleOptions, 'sampler' | 'spacing' | 'clip'> {
  /** Share of the tokens to hide, above 0 and below 1; one for each modality, or for both. Default 0.8. */
  readonly maskRatio?: MaskRatios;
  /** Seed of the mask and the noise. Default 0. */
  readonly seed?: number;
  /** Noise level of a one-step reconstruction, 1..T. Default T: nearly pure noise. Not used with mask tokens. */
  readonly timestep?: number;
  /** Reverse steps. 1 (default) predicts x_0 once; more sample from pure noise, and `timestep` is not used. */
  readonly steps?: number;
  /** How many states x_t of a sampling path to keep, spread evenly over its steps, the last among them, 0..steps. Default 0. */
  readonly keptSteps?: number;
}

/** Patches of one clip, row-major [tokens, targetPatchValues]. */
export interface PatchReconstruction {
  readonly original: Float32Array;
  /** `original` with the hidden patches 0, the data set's mean. */
  readonly masked: Float32Array;
  /** `original` with the hidden patches predicted. */
  readonly prediction: Float32Array;
  /** Indices of the hidden tokens. */
  readonly hidden: Int32Array;
  /** States of the path, noisiest first: `original` with the hidden patches at x_t. Empty for one step. */
  readonly path: readonly { readonly timestep: number; readonly patches: Float32Array }[];
}

/**
 * Hides tokens of one clip and predicts them. patches: [1, tokens, patchValues] for each modality at hand; a
 * model of both works with either.
 * Throws ConfigError for options the model cannot serve.
 */
export function reconstructPatches(
  config: ModelConfig,
  parameters: Parameters,
  patches: PerModality<tf.Tensor>,
  options: ReconstructOptions = {},
): PerModality<PatchReconstruction> {
  const { steps = 1, keptSteps = 0, seed = 0, maskRatio = 0.8 } = options;
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ConfigError(`reconstruct: expected a whole number of steps from 1, got ${steps}`);
  }
  if (!Number.isInteger(keptSteps) || keptSteps < 0 || keptSteps > steps) {
    throw new ConfigError(`reconstruct: expected keptSteps 0..${steps}, got ${keptSteps}`);
  }
  mapPresent(patches, (_, m) =>
    pretrainVisibleCount(oneView(config), m, maskRatioOf(maskRatio, m), `reconstruct: ${m}`),
  );
  const key = fold(makeKey(seed), 'reconstruct');
  // Plain arrays: nothing for the tidy to keep.
  return tf.tidy(
    () =>
      (steps === 1
        ? reconstructOnce(config, parameters, patches, key, options)
        : reconstructInSteps(config, parameters, patches, key, { ...options, steps })) as never,
  );
}

/** Without a second view any ratio will do. */
function oneView(config: ModelConfig): ModelConfig {
  return { ...config, loss: { ...config.loss, intraWeight: 0 } };
}

function reconstructOnce(
  config: ModelConfig,
  parameters: Parameters,
  patches: PerModality<tf.Tensor>,
  key: Key,
  { maskRatio = 0.8, timestep }: ReconstructOptions,
): PerModality<PatchReconstruction> {
  const last = config.masked.kind === 'diffused' ? config.masked.timesteps : 1;
  const split = mapPresent(patches, (tensor, m) => {
    const ratio = maskRatioOf(maskRatio, m);
    const keys = tf.tensor2d(keysTensorData([fold(key, m, 'noise')]), [1, 4], 'int32');
    const input: ModalityInput = {
      patches: tensor,
      order: maskOf(config, m, ratio, key),
      timesteps: [timestep ?? last],
      noise: { keys },
    };
    return splitTokens(oneView(config), m, { [m]: input }, ratio, 'reconstruct');
  });
  const targets = mapPresent(patches, (tensor, m) => targetPatches(config, m, tensor));
  const diffused = config.masked.kind === 'diffused' ? split : {};
  const noised = mapPresent(
    diffused,
    (tokens, m) => diffusedTargets(config, m, tokens) as DiffusedPatches,
  );
  const predicted = maskedPredictor(config, parameters, split)(noised);
  return mapPresent(predicted, (guess, m) => {
    const hidden = (split[m] as SplitTokens).masked.dataSync<'int32'>().slice();
    return compose(config, targets[m] as tf.Tensor, guess, hidden);
  });
}

function reconstructInSteps(
  config: ModelConfig,
  parameters: Parameters,
  patches: PerModality<tf.Tensor>,
  key: Key,
  options: ReconstructOptions & { readonly steps: number },
): PerModality<PatchReconstruction> {
  const { maskRatio = 0.8, steps, keptSteps = 0, sampler, spacing, clip } = options;
  const inputs = mapPresent(patches, (tensor, m) => ({
    patches: tensor,
    order: maskOf(config, m, maskRatioOf(maskRatio, m), key),
    keys: [fold(key, m)],
  }));
  const { states, onStep } = keepStates(steps, keptSteps);
  const predicted = samplePatches(config, parameters, inputs, maskRatio, {
    steps,
    onStep,
    ...(sampler && { sampler }),
    ...(spacing && { spacing }),
    ...(clip && { clip }),
  });
  return mapPresent(inputs, ({ patches: tensor, order }, m) => {
    const guess = predicted[m] as tf.Tensor3D;
    const hidden = order.dataSync<'int32'>().slice(-guess.shape[1]);
    const made = compose(config, targetPatches(config, m, tensor), guess, hidden);
    const path = states.map(({ timestep, values }) => ({
      timestep,
      patches: filled(made.original, values[m] ?? new Float32Array(0), hidden),
    }));
    return { ...made, path };
  });
}

/** A state of a sampling path, its values [masked, targetPatchValues]. */
interface KeptState {
  readonly timestep: number;
  readonly values: PerModality<Float32Array>;
}

/** Collects `count` states of a path, spread evenly over its steps, the last among them. */
function keepStates(
  steps: number,
  count: number,
): { readonly states: readonly KeptState[]; readonly onStep: (state: SampleState) => void } {
  const kept = new Set(
    Array.from({ length: count }, (_, i) => Math.floor(((i + 1) * steps) / count) - 1),
  );
  const states: KeptState[] = [];
  let at = 0;
  return {
    states,
    onStep: ({ step: { timestep }, noised }) => {
      if (!kept.has(at++)) return;
      const values = mapPresent(noised, (x) => x.dataSync<'float32'>().slice());
      states.push({ timestep, values });
    },
  };
}

/** int32 [1, tokens]: which tokens of the clip are visible, first. */
function maskOf(config: ModelConfig, modality: Modality, ratio: number, key: Key): tf.Tensor {
  const order = drawMask(config, modality, ratio, fold(key, modality, 'mask'));
  return tf.tensor2d(order, [1, order.length], 'int32');
}

function compose(
  config: ModelConfig,
  targets: tf.Tensor,
  predicted: tf.Tensor,
  hidden: Int32Array,
): PatchReconstruction {
  const original = targets.dataSync<'float32'>().slice();
  const values = predicted.shape[2] ?? 0;
  const guess = predicted.dataSync<'float32'>().slice();
  if (config.loss.normalizeTargets) rescale(guess, original, hidden, values);
  return {
    original,
    masked: filled(original, new Float32Array(guess.length), hidden),
    prediction: filled(original, guess, hidden),
    hidden,
    path: [],
  };
}

/** `original` [tokens, values] with `rows` [hidden, values] at the hidden tokens. */
function filled(original: Float32Array, rows: Float32Array, hidden: Int32Array): Float32Array {
  const values = rows.length / hidden.length;
  const result = original.slice();
  for (const [i, token] of hidden.entries()) {
    result.set(rows.subarray(i * values, (i + 1) * values), token * values);
  }
  return result;
}

/** Undoes the normalisation of targets in place, with each true patch's mean and unbiased variance, as MAE's pictures do. */
function rescale(
  guess: Float32Array,
  original: Float32Array,
  hidden: Int32Array,
  values: number,
): void {
  for (const [i, token] of hidden.entries()) {
    const own = original.subarray(token * values, (token + 1) * values);
    const mean = own.reduce((sum, x) => sum + x, 0) / values;
    const squares = own.reduce((sum, x) => sum + (x - mean) ** 2, 0);
    const deviation = Math.sqrt(squares / Math.max(1, values - 1) + 1e-6);
    for (let j = i * values; j < (i + 1) * values; j++) guess[j] = guess[j]! * deviation + mean;
  }
}
