// SPDX-License-Identifier: Apache-2.0
// Filling in masked patches with a pre-trained model: one step from x_t, or DDPM sampling from pure noise with
// the visible patches fixed [DiffMAE], [DDPM alg. 2]. DiffMAViL itself only ever takes one step [App. B.2].
import { ConfigError, fold, keysTensorData, makeKey, normals } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import { ddpmStep, respacedTimesteps, reversePath } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';

import { decodeAudio } from './audio-decoder.ts';
import { targetValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { alphaBarTable, targetPatches } from './diffusion.ts';
import { encode, withoutClassToken } from './encoder.ts';
import { fuse } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { maskOrder } from './masking.ts';
import type { Parameters } from './parameters.ts';
import { noisedTargets, splitTokens } from './split-tokens.ts';
import type { SplitTokens } from './split-tokens.ts';
import { decodeVideo } from './video-decoder.ts';

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

/** Patches of one clip, row-major [tokens, targetValues]. */
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
    const given = (['audio', 'video'] as const).filter((m) => patches[m] !== undefined);
    const split = given.map((m) => splitClip(config, m, patches[m] as tf.Tensor, key, options));
    const encoded = split.map(({ modality, tokens }) => {
      const order = tokens.visible;
      return [modality, encode(config, parameters, modality, tokens.patches, { order })];
    });
    const fused = fuse(config, parameters, Object.fromEntries(encoded) as PerModality<tf.Tensor3D>);
    const filled = split.map(({ modality, tokens }) => {
      const targets = targetPatches(config, modality, tokens.patches);
      const visible = withoutClassToken(config, fused[modality] as tf.Tensor3D);
      const decode = (noised: tf.Tensor3D | null): tf.Tensor3D =>
        (modality === 'audio' ? decodeAudio : decodeVideo)(config, parameters, {
          ...tokens,
          fused: visible,
          noised,
        });
      const { steps = 1 } = options;
      const predicted =
        steps === 1
          ? decode(noisedTargets(config, tokens, targets))
          : sample(config, modality, tokens, steps, fold(key, modality), decode);
      return [modality, compose(config, targets, predicted, tokens)];
    });
    // Plain arrays: nothing for the tidy to keep.
    return Object.fromEntries(filled) as never;
  });
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

interface SplitClip {
  readonly modality: Modality;
  readonly tokens: SplitTokens;
}

function splitClip(
  config: ModelConfig,
  modality: Modality,
  patches: tf.Tensor,
  key: Key,
  { maskRatio = 0.8, timestep }: ReconstructOptions,
): SplitClip {
  const tokens = tokenCount(config, modality);
  const order = tf.tensor2d(maskOrder(fold(key, modality, 'mask'), tokens), [1, tokens], 'int32');
  const keys = tf.tensor2d(keysTensorData([fold(key, modality, 'noise')]), [1, 4], 'int32');
  const last = config.masked.kind === 'diffused' ? config.masked.timesteps : 1;
  const input = { patches, order, timesteps: [timestep ?? last], noise: { keys } };
  // There is no second view here, so any ratio will do.
  const oneView = { ...config, loss: { ...config.loss, intraWeight: 0 } };
  return { modality, tokens: splitTokens(oneView, modality, { [modality]: input }, maskRatio) };
}

function sample(
  config: ModelConfig,
  modality: Modality,
  { masked }: SplitTokens,
  steps: number,
  key: Key,
  decode: (noised: tf.Tensor3D) => tf.Tensor3D,
): tf.Tensor3D {
  if (config.masked.kind !== 'diffused') throw new ConfigError('reconstruct: expected diffusion');
  const shape: [number, number, number] = [1, masked.shape[1] ?? 0, targetValues(config, modality)];
  const draw = (step: number): tf.Tensor3D =>
    tf.tensor3d(normals(fold(key, 'sample', step), shape[1] * shape[2]), shape);
  const path = reversePath(
    alphaBarTable(config.masked),
    respacedTimesteps(config.masked.timesteps, steps),
  );
  let x = draw(0);
  for (const [i, { alphaBar, alphaBarPrevious }] of path.entries()) {
    const previous = x;
    x = tf.tidy(() => {
      const step = ddpmStep({ alphaBar, alphaBarPrevious, prediction: 'x0' });
      const mean = tf.add<tf.Tensor3D>(
        tf.mul(decode(previous), step.prediction),
        tf.mul(previous, step.noised),
      );
      return step.noise === 0 ? mean : tf.add(mean, tf.mul(draw(i + 1), step.noise));
    });
    previous.dispose();
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
