// SPDX-License-Identifier: Apache-2.0
// Filling in masked patches with a pre-trained model: one step from x_t, or DDPM sampling from pure noise with
// the visible patches fixed [DiffMAE], [DDPM alg. 2]. DiffMAViL itself only ever takes one step [App. B.2].
import { ConfigError, disposeTree, fold, keysTensorData, makeKey, normals } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import { ddpmStep, respacedTimesteps, reversePath } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';

import { targetPatchValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { shownOf } from './decoder-tokens.ts';
import type { ShownTokens } from './decoder-tokens.ts';
import { decode, shownModality } from './decoder.ts';
import { alphaBarTable, targetPatches } from './diffusion.ts';
import { encode } from './encoder.ts';
import { fuse, mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { drawMask } from './masking.ts';
import type { Parameters } from './parameters.ts';
import { noisedTargets, splitTokens } from './split-tokens.ts';
import type { SplitTokens } from './split-tokens.ts';

export interface ReconstructOptions {
  /** Share of the tokens to hide, above 0 and below 1. Default 0.8. */
  readonly maskRatio?: number;
  /** Seed of the mask and the noise. Default 0. */
  readonly seed?: number;
  /** Noise level of a one-step reconstruction, 1..T. Default T: nearly pure noise. Not used with mask tokens. */
  readonly timestep?: number;
  /** Reverse steps. 1 (default) predicts x_0 once; more sample from pure noise, and `timestep` is not used. */
  readonly steps?: number;
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
  checkOptions(config, options);
  const key = fold(makeKey(options.seed ?? 0), 'reconstruct');
  return tf.tidy(() => {
    const split = mapPresent(patches, (tensor, m) => splitClip(config, m, tensor, key, options));
    const encoded = mapPresent(split, ({ patches: own, visible: order }, m) =>
      encode(config, parameters, m, own, { order }),
    );
    const fused = fuse(config, parameters, encoded);
    const targets = mapPresent(split, (tokens, m) => targetPatches(config, m, tokens.patches));
    const predict = (noised: PerModality<tf.Tensor3D>): PerModality<tf.Tensor3D> => {
      const inputs = mapPresent(split, ({ masked }, m) => {
        const shown = shownTokens(config, m, split, fused);
        return { shown, masked, noised: noised[m] ?? null };
      });
      return decode(config, parameters, inputs);
    };
    const { steps = 1 } = options;
    const predicted =
      steps === 1
        ? predict(noisedOnce(config, split, targets))
        : sample(config, split, steps, key, predict);
    // Plain arrays: nothing for the tidy to keep.
    return mapPresent(predicted, (guess, m) =>
      compose(config, targets[m] as tf.Tensor, guess, split[m] as SplitTokens),
    ) as never;
  });
}

/** Visible tokens that the decoder of a modality reads. Throws ConfigError when those are of a modality not given. */
function shownTokens(
  config: ModelConfig,
  modality: Modality,
  split: PerModality<SplitTokens>,
  fused: PerModality<tf.Tensor3D>,
): ShownTokens {
  const source = shownModality(config, modality);
  const [tokens, order] = [fused[source], split[source]?.visible];
  if (tokens === undefined || order === undefined) {
    throw new ConfigError(
      `reconstruct: expected ${source} too, as this model paints ${modality} in from it, got none`,
    );
  }
  return shownOf(config, source, tokens, order);
}

/** x_t at the timestep asked for; nothing with mask tokens. */
function noisedOnce(
  config: ModelConfig,
  split: PerModality<SplitTokens>,
  targets: PerModality<tf.Tensor>,
): PerModality<tf.Tensor3D> {
  if (config.masked.kind === 'mask-token') return {};
  return mapPresent(
    split,
    (tokens, m) => noisedTargets(config, tokens, targets[m] as tf.Tensor) as tf.Tensor3D,
  );
}

function checkOptions(config: ModelConfig, { steps = 1 }: ReconstructOptions): void {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ConfigError(`reconstruct: expected a whole number of steps from 1, got ${steps}`);
  }
  if (steps === 1) return;
  if (config.masked.kind === 'mask-token') {
    throw new ConfigError(
      `reconstruct: expected 1 step for a model with mask tokens, got ${steps}`,
    );
  }
  if (config.loss.normalizeTargets) {
    throw new ConfigError(
      `reconstruct: expected 1 step for a model of normalised targets, which cannot be noised again, got ${steps}`,
    );
  }
}

function splitClip(
  config: ModelConfig,
  modality: Modality,
  patches: tf.Tensor,
  key: Key,
  { maskRatio = 0.8, timestep }: ReconstructOptions,
): SplitTokens {
  const tokens = tokenCount(config, modality);
  const mask = drawMask(config, modality, maskRatio, fold(key, modality, 'mask'));
  const order = tf.tensor2d(mask, [1, tokens], 'int32');
  const keys = tf.tensor2d(keysTensorData([fold(key, modality, 'noise')]), [1, 4], 'int32');
  const last = config.masked.kind === 'diffused' ? config.masked.timesteps : 1;
  const input = { patches, order, timesteps: [timestep ?? last], noise: { keys } };
  // There is no second view here, so any ratio will do.
  const oneView = { ...config, loss: { ...config.loss, intraWeight: 0 } };
  return splitTokens(oneView, modality, { [modality]: input }, maskRatio);
}

/** Patches of each modality from pure noise; both are denoised together, as a decoder may read both. */
function sample(
  config: ModelConfig,
  split: PerModality<SplitTokens>,
  steps: number,
  key: Key,
  predict: (noised: PerModality<tf.Tensor3D>) => PerModality<tf.Tensor3D>,
): PerModality<tf.Tensor3D> {
  if (config.masked.kind !== 'diffused') throw new ConfigError('reconstruct: expected diffusion');
  const draw = (step: number): PerModality<tf.Tensor3D> =>
    mapPresent(split, ({ masked }, m) => {
      const values = targetPatchValues(config, m);
      const count = masked.shape[1] ?? 0;
      return tf.tensor3d(normals(fold(key, m, 'sample', step), count * values), [1, count, values]);
    });
  const path = reversePath(
    alphaBarTable(config.masked),
    respacedTimesteps(config.masked.timesteps, steps),
  );
  let x = draw(0);
  for (const [i, { alphaBar, alphaBarPrevious }] of path.entries()) {
    const previous = x;
    const step = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'x0' });
    x = tf.tidy(() => {
      const predicted = predict(previous);
      const noise: PerModality<tf.Tensor3D> = step.noise === 0 ? {} : draw(i + 1);
      return mapPresent(previous, (noised, m) => {
        const guess = tf.mul(predicted[m] as tf.Tensor3D, step.prediction);
        const mean = tf.add<tf.Tensor3D>(guess, tf.mul(noised, step.noised));
        const fresh = noise[m];
        return fresh === undefined ? mean : tf.add(mean, tf.mul(fresh, step.noise));
      });
    });
    disposeTree(previous);
  }
  return x;
}

function compose(
  config: ModelConfig,
  targets: tf.Tensor,
  predicted: tf.Tensor3D,
  { masked }: SplitTokens,
): PatchReconstruction {
  const original = targets.dataSync<'float32'>().slice();
  const guess = predicted.dataSync<'float32'>();
  const hidden = masked.dataSync<'int32'>().slice();
  const values = predicted.shape[2];
  const blank = original.slice();
  const prediction = original.slice();
  for (const [i, token] of hidden.entries()) {
    const at = token * values;
    const patch = guess.slice(i * values, (i + 1) * values);
    blank.fill(0, at, at + values);
    const own = original.subarray(at, at + values);
    prediction.set(config.loss.normalizeTargets ? rescale(patch, own) : patch, at);
  }
  return { original, masked: blank, prediction, hidden };
}

/** Undoes the normalisation of a target with the true patch's mean and unbiased variance, as MAE's pictures do. */
function rescale(patch: Float32Array, own: Float32Array): Float32Array {
  const mean = own.reduce((sum, x) => sum + x, 0) / own.length;
  const squares = own.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / Math.max(1, own.length - 1) + 1e-6);
  return patch.map((x) => x * deviation + mean);
}
