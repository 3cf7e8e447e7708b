// SPDX-License-Identifier: Apache-2.0
// Diffused patches: masked patches x_0 noised to x_t, in patch space [DiffMAViL §3, App. B.2].
// t is drawn per clip and per modality; the decoder predicts x_0.
import { ConfigError, diffuse, gatherTokens, shapeOf } from '@diffmavil/core';
import type { DiffusedPatches } from '@diffmavil/core';
import { alphaBarAt, alphaBars, forwardCoefficients } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';

import { patchValues, targetPatchValues, tokenCount } from './config.ts';
import type { MaskedConfig, Modality, ModelConfig } from './config.ts';

/** Where the noise comes from: keys int32 [batch, 4] for keyed normals, or the values [batch, masked, patchValues]. */
export type NoiseInput = { readonly keys: tf.Tensor } | { readonly values: tf.Tensor };

type Diffused = Extract<MaskedConfig, { kind: 'diffused' }>;

const tables = new Map<string, Float64Array>();

/** alphaBar_t of a configuration's schedule at index t - 1, T values in float64; not to be written to. */
export function alphaBarTable({ timesteps, betaStart, betaEnd, exponent }: Diffused): Float64Array {
  const key = `${timesteps} ${betaStart} ${betaEnd} ${exponent}`;
  const known = tables.get(key);
  if (known !== undefined) return known;
  const made = alphaBars({ kind: 'linear', timesteps, betaStart, betaEnd, exponent });
  tables.set(key, made);
  return made;
}

/**
 * x_t = sqrt(alphaBar_t) x_0 + sqrt(1 - alphaBar_t) eps [DDPM eq. 4] of the patches at `masked`.
 * patches [batch, tokens, patchValues], masked int32 [batch, masked], timesteps [batch] in 1..T
 * -> [batch, masked, patchValues]. Throws ConfigError for a timestep outside 1..T, unless they are a tensor, which is not read.
 */
export function diffuseMasked(
  schedule: Diffused,
  patches: tf.Tensor,
  masked: tf.Tensor,
  timesteps: ArrayLike<number> | tf.Tensor,
  noise: NoiseInput,
): tf.Tensor3D {
  return tf.tidy(() => {
    const x = diffusedPatches(schedule, patches, masked, timesteps, noise);
    return diffuse(x.patches, x.indices, x.signal, x.noiseScale, x.noise);
  });
}

/** What `diffuseMasked` makes x_t from, with the factors of each clip at its timestep; arguments and errors as there. */
export function diffusedPatches(
  schedule: Diffused,
  patches: tf.Tensor,
  masked: tf.Tensor,
  timesteps: ArrayLike<number> | tf.Tensor,
  noise: NoiseInput,
): DiffusedPatches {
  const factors =
    timesteps instanceof tf.Tensor
      ? tf.tidy(() => lookedUp(schedule, timesteps))
      : coefficientsAt(schedule, Array.from(timesteps));
  return { patches, indices: masked, ...factors, noise };
}

/** sqrt(alphaBar_t) and sqrt(1 - alphaBar_t), one each a clip. */
type Coefficients = {
  readonly signal: tf.Tensor;
  readonly noiseScale: tf.Tensor;
};

function coefficientsAt(schedule: Diffused, timesteps: readonly number[]): Coefficients {
  const table = alphaBarTable(schedule);
  const coefficients = timesteps.map((t) => {
    if (!Number.isInteger(t) || t < 1 || t > table.length) {
      throw new ConfigError(`diffuse: expected timesteps 1..${table.length}, got ${t}`);
    }
    return forwardCoefficients(alphaBarAt(table, t));
  });
  return {
    signal: tf.tensor1d(coefficients.map((c) => c.signal)),
    noiseScale: tf.tensor1d(coefficients.map((c) => c.noise)),
  };
}

/** Of timesteps that only the backend knows. */
function lookedUp(schedule: Diffused, timesteps: tf.Tensor): Coefficients {
  const all = Array.from({ length: schedule.timesteps }, (_, i) => i + 1);
  const { signal, noiseScale } = coefficientsAt(schedule, all);
  const places = tf.sub(timesteps, tf.scalar(1, 'int32'));
  return { signal: tf.gather(signal, places), noiseScale: tf.gather(noiseScale, places) };
}

/**
 * What the decoder predicts, and what is diffused: the patches themselves, or one frame of each tubelet when
 * video.predictFrames = frames / tubelet. patches [batch, tokens, patchValues] -> [batch, tokens, targetPatchValues].
 * May return `patches` itself.
 */
export function targetPatches(
  config: ModelConfig,
  modality: Modality,
  patches: tf.Tensor,
): tf.Tensor {
  const values = targetPatchValues(config, modality);
  if (values === patchValues(config, modality)) return patches;
  return tf.tidy(() => {
    const { batch, tokens } = shapeOf(patches, '[batch, tokens, values]', 'targetPatches: patches');
    const rows = predictedRows(config);
    const every = Int32Array.from({ length: batch * tokens }, (_, i) => rows[i % tokens] ?? 0);
    const frames = tf.tensor2d(every, [batch, tokens], 'int32');
    return gatherTokens(asFrames(config, patches, values), frames);
  });
}

/**
 * Where `targetPatches` at `masked` are among the patches themselves: patches [batch, tokens, patchValues] as
 * [batch, rows, targetPatchValues] over the same buffer, and rows int32 [batch, masked] there. May return its arguments.
 */
export function targetRows(
  config: ModelConfig,
  modality: Modality,
  patches: tf.Tensor,
  masked: tf.Tensor,
): { readonly patches: tf.Tensor; readonly rows: tf.Tensor } {
  const values = targetPatchValues(config, modality);
  if (values === patchValues(config, modality)) return { patches, rows: masked };
  const rows = tf.tidy(() => tf.gather(tf.tensor1d(predictedRows(config), 'int32'), masked));
  return { patches: asFrames(config, patches, values), rows };
}

/** A tubelet's frames lie one after another in a patch, so each is a row of its own: [batch, tokens * tubelet, values]. */
function asFrames({ video }: ModelConfig, patches: tf.Tensor, values: number): tf.Tensor {
  const [batch = 0, tokens = 0] = patches.shape;
  return tf.reshape(patches, [batch, tokens * (video?.tubelet ?? 1), values]);
}

/**
 * The frame of each tubelet that is predicted: frame trunc(linspace(0, frames - 1, frames / tubelet)[t]) of the
 * clip, counted within tubelet t [SpatiotemporalMAE `pred_t_dim`]: 0, 0, 0, 0, 0, 0, 0, 1 for 16 frames by 2.
 */
export function predictedFrameInTubelet(frames: number, tubelet: number): number[] {
  const count = frames / tubelet;
  return Array.from({ length: count }, (_, t) =>
    count === 1 ? 0 : Math.floor((t * (frames - 1)) / (count - 1)) - t * tubelet,
  );
}

/** Row of each token's predicted frame among [tokens * tubelet] rows. */
function predictedRows(config: ModelConfig): Int32Array {
  const { frames, tubelet } = config.video ?? { frames: 1, tubelet: 1 };
  const tokens = tokenCount(config, 'video');
  const perTime = tokens / (frames / tubelet);
  const chosen = predictedFrameInTubelet(frames, tubelet);
  return Int32Array.from(
    { length: tokens },
    (_, token) => token * tubelet + (chosen[Math.floor(token / perTime)] ?? 0),
  );
}
