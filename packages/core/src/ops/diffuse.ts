// SPDX-License-Identifier: Apache-2.0
// diffuse: masked patches at a timestep of the forward process, x_t = signal * x_0 + noiseScale *
// noise, with signal = sqrt(abar_t) and noiseScale = sqrt(1 - abar_t) of each sample. [DDPM eq. 4,
// DiffMAViL App. B.2]
//
// B batch, T tokens, M masked patches, P values of a patch.
// Attribute: tokens (T).
// Kernel DmDiffuse: patches [B, T, P], indices int32 [B, M], signal [B], noiseScale [B], and either
//   keys int32 [B, 4] (Philox key of each sample; element m * P + p of its normal draws) or noise
//   [B, M, P] -> y [B, M, P].
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import { normals } from '../random.ts';
import { gatherTokensReference, scatterTokens } from './gather-tokens.ts';
import { checkIndices } from './indices.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { gatherRows, scaleSamples } from './plain.ts';

/** Standard normal noise: drawn from one key for each sample (`keysTensorData`), or given. */
export type Noise =
  | {
      /** int32 [batch, 4]. */
      readonly keys: tf.Tensor;
    }
  | {
      /** [batch, masked, patchValues]. */
      readonly values: tf.Tensor;
    };

/** What `diffuse` makes masked patches with noise from. */
export interface DiffusedPatches {
  /** [batch, tokens, patchValues]. */
  readonly patches: tf.Tensor;
  /** int32 [batch, masked]: the masked patches (range not checked). */
  readonly indices: tf.Tensor;
  /** [batch]. */
  readonly signal: tf.Tensor;
  /** [batch]. */
  readonly noiseScale: tf.Tensor;
  readonly noise: Noise;
}

type Inputs = {
  readonly patches: tf.Tensor;
  readonly indices: tf.Tensor;
  readonly signal: tf.Tensor;
  readonly noiseScale: tf.Tensor;
  readonly keys: tf.Tensor | undefined;
  readonly noise: tf.Tensor | undefined;
};

const kernel = defineKernel<Inputs, { readonly tokens: number }>({
  name: 'DmDiffuse',
  composed: ({ patches, indices, signal, noiseScale, keys, noise }) => {
    const clean = gatherRows(patches as tf.Tensor3D, indices as tf.Tensor2D);
    const values = noise ?? (keys === undefined ? tf.zerosLike(clean) : draw(keys, clean.shape));
    return [tf.add(scaleSamples(clean, signal), scaleSamples(values, noiseScale))];
  },
});

// Of the noise and of the clean patches, for programs that differentiate their input; training
// never asks.
defineGradient(kernel, {
  inputs: ['indices', 'signal', 'noiseScale'],
  gradient: (dy, { indices, signal, noiseScale }, { tokens }) => {
    const [noise, scaled] = [noiseScale, signal].map((factor) => scaleSamples(dy, factor));
    const patches = scaled && scatterTokens(scaled, indices, tokens);
    return { patches, noise };
  },
});

/**
 * Masked patches with noise.
 *
 * @param patches [batch, tokens, patchValues]
 * @param indices int32 [batch, masked]: the masked patches (range not checked)
 * @param signal [batch], not differentiated
 * @param noiseScale [batch], not differentiated
 * @returns [batch, masked, patchValues]
 * @throws ShapeError when shapes or dtypes disagree.
 */
export function diffuse(
  patches: tf.Tensor,
  indices: tf.Tensor,
  signal: tf.Tensor,
  noiseScale: tf.Tensor,
  noise: Noise,
): tf.Tensor3D {
  const { tokens } = checkDiffusion('diffuse', { patches, indices, signal, noiseScale, noise });
  const inputs = {
    patches,
    indices,
    signal,
    noiseScale,
    keys: 'keys' in noise ? noise.keys : undefined,
    noise: 'values' in noise ? noise.values : undefined,
  };
  return output(runKernel(kernel, inputs, { tokens })) as tf.Tensor3D;
}

/** `diffuse` in plain tfjs ops with tfjs's own gradient. */
export function diffuseReference(
  patches: tf.Tensor,
  indices: tf.Tensor,
  signal: tf.Tensor,
  noiseScale: tf.Tensor,
  noise: Noise,
): tf.Tensor3D {
  checkDiffusion('diffuse', { patches, indices, signal, noiseScale, noise });
  return tf.tidy(() => {
    const clean = gatherTokensReference(patches, indices);
    const values = 'keys' in noise ? draw(noise.keys, clean.shape) : noise.values;
    const [a, b] = [signal, noiseScale].map((factor) => tf.reshape(factor, [-1, 1, 1]));
    if (a === undefined || b === undefined) throw new Error('expected two factors');
    return tf.add<tf.Tensor3D>(tf.mul(a, clean), tf.mul(b, values));
  });
}

/**
 * Normal draws of each sample from its key; reads the keys, as composed kernels run where that is
 * cheap.
 */
function draw(keys: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const [batch = 0, masked = 0, patchValues = 0] = shape;
  const words = Uint32Array.from(keys.dataSync());
  const count = masked * patchValues;
  const values = new Float32Array(batch * count);
  for (let sample = 0; sample < batch; sample++) {
    const [seedLo = 0, seedHi = 0, streamLo = 0, streamHi = 0] = words.subarray(4 * sample);
    values.set(normals([seedLo, seedHi, streamLo, streamHi], count), sample * count);
  }
  return tf.tensor3d(values, [batch, masked, patchValues]);
}

/** @throws ShapeError, from op `where`, when shapes or dtypes of what x_t is made from disagree. */
export function checkDiffusion(
  where: string,
  { patches, indices, signal, noiseScale, noise }: DiffusedPatches,
): { tokens: number; patchValues: number } {
  const shape = '[batch, tokens, patchValues]';
  const { batch, tokens, patchValues } = shapeOf(patches, shape, `${where}: patches`);
  const { masked } = checkIndices(indices, '[batch, masked]', `${where}: indices`, { batch });
  shapeOf(signal, '[batch]', `${where}: signal`, { batch });
  shapeOf(noiseScale, '[batch]', `${where}: noiseScale`, { batch });
  if ('keys' in noise) {
    checkIndices(noise.keys, '[batch, 4]', `${where}: noise keys`, { batch });
  } else {
    const known = { batch, masked, patchValues };
    shapeOf(noise.values, '[batch, masked, patchValues]', `${where}: noise values`, known);
  }
  return { tokens, patchValues };
}
