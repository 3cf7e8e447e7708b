// SPDX-License-Identifier: Apache-2.0
// What the tests of diffusedLinear share: loss and gradients of a linear map of masked patches with noise, by that op or by the two
// that it stands for, and what the tape keeps.
import { diffuse, diffusedLinear, linear, valueAndGrads } from '@diffmavil/core';
import type { Precision } from '@diffmavil/core';
import { savedBytes } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { draw } from './test-ops.ts';

const [batch, tokens, masked, patchValues, outWidth] = [3, 20, 16, 96, 40];

/** Of x_t, float32. */
export const xtBytes: number = 4 * batch * masked * patchValues;

export type Inputs = {
  readonly patches: tf.Tensor;
  readonly indices: tf.Tensor;
  readonly signal: tf.Tensor;
  readonly noiseScale: tf.Tensor;
  /** int32 [batch, 4]. */
  readonly keys: tf.Tensor;
};

/** A batch; another for another seed. */
export function batchOf(seed: number): Inputs {
  const indices = Int32Array.from({ length: batch * masked }, (_, i) => (7 * i + seed) % tokens);
  const keys = Int32Array.from({ length: batch * 4 }, (_, i) => 1000 * seed + i);
  const factors = [0.3, 0.6, 0.9];
  return {
    patches: draw([batch, tokens, patchValues], 'patches', seed),
    indices: tf.tensor2d(indices, [batch, masked], 'int32'),
    signal: tf.tensor1d(factors),
    noiseScale: tf.tensor1d(factors.map((factor) => Math.sqrt(1 - factor ** 2))),
    keys: tf.tensor2d(keys, [batch, 4], 'int32'),
  };
}

export type Weights = { readonly weight: tf.Tensor; readonly bias: tf.Tensor };

export function weights(): Weights {
  return { weight: draw([outWidth, patchValues], 'weight'), bias: draw([outWidth], 'bias') };
}

/** Output, gradients of weight and bias, and the bytes that the tape kept for them. */
export function passes(
  op: 'diffusedLinear' | 'two ops',
  { patches, indices, signal, noiseScale, keys }: Inputs,
  parameters: Weights,
  precision: Precision,
): { readonly results: { y: tf.Tensor; weight: tf.Tensor; bias: tf.Tensor }; kept: number } {
  const { weight, bias } = parameters;
  let kept = 0;
  const { outputs, grads } = valueAndGrads(() => {
    const y =
      op === 'diffusedLinear'
        ? diffusedLinear(
            { patches, indices, signal, noiseScale, noise: { keys } },
            { weight, bias },
            { precision },
          )
        : linear(diffuse(patches, indices, signal, noiseScale, { keys }), weight, bias, {
            precision,
            inputGradient: false,
          });
    const given = [patches, indices, signal, noiseScale, keys];
    kept = savedBytes(y, [weight, bias], given);
    return { loss: tf.mean<tf.Scalar>(tf.square(y)), y };
  }, parameters);
  outputs.loss.dispose();
  return { results: { y: outputs.y, ...grads }, kept };
}
