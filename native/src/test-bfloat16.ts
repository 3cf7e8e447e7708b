// SPDX-License-Identifier: Apache-2.0
// The branches of a block in plain tfjs ops with every operand of a product, and everything saved,
// rounded to bfloat16, in the backward pass too: the twins that measure what that precision costs.
import * as ops from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { expectNoLeak } from '@diffmavil/testkit';
import { expect } from 'vitest';
import { draw } from './test-ops.ts';
import type { OpCase } from './test-ops.ts';
import { backendName } from './register.ts';

/** The squared relative error of rounding to 8 bits once. */
const oneRounding = 2 ** -18;

/** Gradients of fewer values are measured too roughly for a factor of 2: it is 4 for them. */
const fewValues = 100;

/** To nearest, ties to even. */
function roundValues(values: Float32Array): Float32Array {
  const bits = new Uint32Array(values.slice().buffer);
  for (const [i, word] of bits.entries()) {
    bits[i] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  }
  return new Float32Array(bits.buffer);
}

const roundTensor = (x: tf.Tensor): tf.Tensor =>
  tf.tensor(roundValues(x.dataSync() as Float32Array), x.shape);

/** x rounded to bfloat16; its gradient is rounded alike. */
const round = tf.customGrad((x) => ({
  value: roundTensor(x as tf.Tensor),
  gradFunc: (dy: tf.Tensor) => roundTensor(dy),
}));

/** x; its gradient is rounded. */
const roundGradient = tf.customGrad((x) => ({
  value: tf.clone(x as tf.Tensor),
  gradFunc: (dy: tf.Tensor) => roundTensor(dy),
}));

function roundedLinear(x: tf.Tensor, { weight, bias }: ops.LinearParameters): tf.Tensor {
  return roundGradient(ops.linearReference(round(x), round(weight), bias));
}

const withBranch = (x: tf.Tensor, branch: tf.Tensor, scale: tf.Tensor | null): tf.Tensor3D =>
  tf.add(x, scale === null ? branch : ops.dropPathReference(branch, scale));

/** `mlpBranchReference`, rounded. */
export function roundedMlpBranch(
  x: tf.Tensor,
  { norm, fc1, fc2 }: ops.MlpBranchParameters,
  { branchScale = null }: ops.MlpBranchOptions = {},
): tf.Tensor3D {
  const before = round(roundedLinear(ops.layerNormReference(x, norm), fc1));
  return withBranch(x, roundedLinear(ops.geluReference(before), fc2), branchScale);
}

/** `attentionBranchReference`, rounded. */
export function roundedAttentionBranch(
  x: tf.Tensor,
  parameters: object,
  options: ops.AttentionBranchOptions,
): tf.Tensor3D {
  const { norm, proj } = parameters as ops.SelfAttentionParameters;
  const normed = ops.layerNormReference(x, norm);
  const { heads, branchScale = null } = options;
  let parts: tf.Tensor[];
  if (options.kind === 'cross') {
    const { q, kv } = parameters as ops.CrossAttentionParameters;
    const pair = tf.split(round(roundedLinear(options.context, kv)), 2, -1);
    parts = [round(roundedLinear(normed, q)), ...pair];
  } else {
    const { qkv } = parameters as ops.SelfAttentionParameters;
    parts = tf.split(round(roundedLinear(normed, qkv)), 3, -1);
  }
  const [query, key, value] = parts as [tf.Tensor, tf.Tensor, tf.Tensor];
  const { relBias } = parameters as ops.WindowAttentionParameters;
  const window = options.kind === 'window' ? { window: options, relBias } : {};
  const attended = ops.attentionReference(query, key, value, { heads, ...window });
  return withBranch(x, roundedLinear(attended, proj), branchScale);
}

export interface RoundedCase extends OpCase {
  /** The op with `precision: 'bfloat16'`. */
  readonly inBfloat16: OpCase['op'];
  /** The rounded twin. */
  readonly rounded: OpCase['op'];
}

/**
 * The op in bfloat16 is at most twice as far from the float32 twin as the rounded twin is (root mean
 * square, value and each gradient; where luck makes the rounded twin better than one rounding, than
 * one rounding is).
 */
export async function expectNoWorseThanRounded(one: RoundedCase): Promise<void> {
  const expected = await resultsOn('cpu', one, one.twin);
  const rounded = await resultsOn('cpu', one, one.rounded);
  const got = await resultsOn(backendName, one, one.inBfloat16);
  for (const [i, values] of got.entries()) {
    const right = expected[i] ?? new Float32Array();
    const factor = right.length < fewValues ? 4 : 2;
    const allowed = factor ** 2 * Math.max(oneRounding, relativeError(rounded[i], right));
    // Written so that NaN fails.
    const error = relativeError(values, right);
    expect(error <= allowed, `output ${i}: ${error}, allowed ${allowed}`).toBe(true);
  }
}

/** The squared error over the power of what is right (or over 1e-6 a value, for what cancels). */
function relativeError(values: Float32Array = new Float32Array(), right: Float32Array): number {
  let error = 0;
  let power = 0;
  for (const [i, value] of right.entries()) {
    error += ((values[i] ?? NaN) - value) ** 2;
    power += value ** 2;
  }
  return error / Math.max(power, 1e-6 * right.length);
}

/** The value of f, then its gradients for a drawn dy. */
async function resultsOn(
  backend: string,
  { name, shapes }: OpCase,
  f: OpCase['op'],
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  return expectNoLeak(() =>
    tf.tidy(() => {
      const x = shapes.map((shape, i) => draw(shape, name, i));
      const value = f(...x);
      const gradients = tf.grads(f)(x, draw(value.shape, name, 'dy'));
      return [value, ...gradients].map((y) => y.dataSync() as Float32Array);
    }),
  );
}
