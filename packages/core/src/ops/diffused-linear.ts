// SPDX-License-Identifier: Apache-2.0
// diffusedLinear: x_t · weightᵀ + bias of masked patches with noise (diffuse.ts), without keeping
// x_t. It is a function of patches, which are there anyway, and of a few numbers a sample; so it is
// dropped after the product and made again, with the same bits, for the gradient of the weight.
// [DDPM eq. 4, DiffMAViL App. B.2]
//
// B batch, T tokens, M masked patches, P values of a patch, C outWidth.
// Attributes: keyed, precision.
// Kernel DmDiffusedLinear: patches [B, T, P], indices int32 [B, M], signal [B], noiseScale [B],
//   noise int32 [B, 4] if keyed, else [B, M, P], weight [C, P], bias [C] -> y [B, M, C].
// Kernel DmDiffusedLinearGrad: dy [B, M, C], patches, indices, signal, noiseScale, noise, weight
//   -> dWeight [C, P], dBias [C].
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import type { LinearParameters } from './attention-branch.ts';
import { checkDiffusion, diffuse, diffuseReference, type DiffusedPatches } from './diffuse.ts';
import { scatterTokens } from './gather-tokens.ts';
import { defineGradient, defineKernel, output, runKernel, type Precision } from './kernel.ts';
import { linear, linearGradKernel, linearReference } from './linear.ts';
import { asRows, scaleSamples } from './plain.ts';

export interface DiffusedLinearOptions {
  /** Arithmetic of the product; default 'float32'. */
  readonly precision?: Precision;
}

interface Attributes {
  readonly keyed: boolean;
  readonly precision: Precision;
}

/** What x_t is made from; noise is keys or values. */
type Made = {
  readonly [name in 'patches' | 'indices' | 'signal' | 'noiseScale' | 'noise']: tf.Tensor;
};

const kernel = defineKernel<Made & { weight: tf.Tensor; bias: tf.Tensor }, Attributes>({
  name: 'DmDiffusedLinear',
  handsPrecisionOn: true,
  composed: ({ weight, bias, ...made }, { keyed, precision }) => [
    linear(diffused(made, keyed), weight, bias, { precision }),
  ],
});

const gradKernel = defineKernel<Made & { dy: tf.Tensor; weight: tf.Tensor }, Attributes>({
  name: 'DmDiffusedLinearGrad',
  handsPrecisionOn: true,
  composed: ({ dy, weight, ...made }, { keyed, precision }) =>
    runKernel(
      linearGradKernel,
      { dy, x: diffused(made, keyed), weight, preactivation: undefined },
      { activation: 'none', precision, biased: true, inputGradient: false },
    ),
});

// Of the patches and of the noise for programs that differentiate their input; training never asks.
defineGradient(kernel, {
  inputs: ['patches', 'indices', 'signal', 'noiseScale', 'noise', 'weight'],
  gradient: (dy, saved, attributes) => {
    const { patches, indices, signal, noiseScale, noise, weight } = saved;
    const [dWeight, bias] = runKernel(gradKernel, { dy, ...saved }, attributes);
    const scaled = (factor: tf.Tensor): tf.Tensor => {
      const [batch = 0, masked = 0] = indices.shape;
      const dx = tf.matMul(asRows(dy), weight);
      return scaleSamples(tf.reshape(dx, [batch, masked, -1]), factor);
    };
    return {
      weight: dWeight,
      bias,
      patches: () => scatterTokens(scaled(signal), indices, patches.shape[1] ?? 0),
      noise: attributes.keyed ? undefined : () => tf.reshape(scaled(noiseScale), noise.shape),
    };
  },
});

/**
 * Masked patches with noise, through a linear map: `linear(diffuse(...), weight, bias)`, which
 * keeps no x_t for the gradient.
 *
 * @param x what x_t [batch, masked, patchValues] is made from; of it, patches and noise values are
 * differentiated, in float32, where somebody asks for that
 * @param parameters weight [outWidth, patchValues], bias [outWidth]
 * @returns [batch, masked, outWidth]
 * @throws ShapeError when shapes or dtypes disagree. DeviceError for 'bfloat16' on a backend without
 * native kernels.
 */
export function diffusedLinear(
  x: DiffusedPatches,
  parameters: LinearParameters,
  { precision = 'float32' }: DiffusedLinearOptions = {},
): tf.Tensor3D {
  checkShapes(x, parameters);
  const { patches, indices, signal, noiseScale, noise } = x;
  const keyed = 'keys' in noise;
  const made = { patches, indices, signal, noiseScale, noise: keyed ? noise.keys : noise.values };
  const { weight, bias } = parameters;
  return output(runKernel(kernel, { ...made, weight, bias }, { keyed, precision })) as tf.Tensor3D;
}

/** `diffusedLinear` in plain tfjs ops with tfjs's own gradient; `precision` has no effect. */
export function diffusedLinearReference(
  x: DiffusedPatches,
  parameters: LinearParameters,
  _options: DiffusedLinearOptions = {},
): tf.Tensor3D {
  checkShapes(x, parameters);
  const { patches, indices, signal, noiseScale, noise } = x;
  return tf.tidy(() => {
    const noised = diffuseReference(patches, indices, signal, noiseScale, noise);
    return linearReference(noised, parameters.weight, parameters.bias) as tf.Tensor3D;
  });
}

/** x_t. */
function diffused(
  { patches, indices, signal, noiseScale, noise }: Made,
  keyed: boolean,
): tf.Tensor {
  const from = keyed ? { keys: noise } : { values: noise };
  return diffuse(patches, indices, signal, noiseScale, from);
}

function checkShapes(x: DiffusedPatches, { weight, bias }: LinearParameters): void {
  const where = 'diffusedLinear';
  const { patchValues } = checkDiffusion(where, x);
  const known = { patchValues };
  const { outWidth } = shapeOf(weight, '[outWidth, patchValues]', `${where}: weight`, known);
  shapeOf(bias, '[outWidth]', `${where}: bias`, { outWidth });
}
