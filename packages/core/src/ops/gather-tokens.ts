// SPDX-License-Identifier: Apache-2.0
// gatherTokens and scatterTokens: the tokens of each sample at its own indices, and back onto
// zeros; each is the other's gradient. tfjs's own batched gather has a gradient that loops over the
// batch, and its scatter has none. [MAE §3]
//
// B batch, T tokens, N indices of a sample, C width.
// Attribute: tokens (T).
// Kernel DmGatherTokens: x [B, T, C], indices int32 [B, N] -> y [B, N, C].
// Kernel DmScatterTokens: x [B, N, C], indices int32 [B, N] -> y [B, T, C]; equal indices add up.
import * as tf from '@tensorflow/tfjs-core';
import { checkIndices } from './indices.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { shapeOf } from '../shapes.ts';
import { gatherRows, scatterRows } from './plain.ts';

type Inputs = { readonly x: tf.Tensor; readonly indices: tf.Tensor };
type Attributes = { readonly tokens: number };

const gatherKernel = defineKernel<Inputs, Attributes>({
  name: 'DmGatherTokens',
  composed: ({ x, indices }) => [gatherRows(x as tf.Tensor3D, indices as tf.Tensor2D)],
});

const scatterKernel = defineKernel<Inputs, Attributes>({
  name: 'DmScatterTokens',
  composed: ({ x, indices }, { tokens }) => [
    scatterRows(x as tf.Tensor3D, indices as tf.Tensor2D, tokens),
  ],
});

defineGradient(gatherKernel, {
  inputs: ['indices'],
  gradient: (dy, { indices }, attributes) => ({
    x: output(runKernel(scatterKernel, { x: dy, indices }, attributes)),
  }),
});

defineGradient(scatterKernel, {
  inputs: ['indices'],
  gradient: (dy, { indices }, attributes) => ({
    x: output(runKernel(gatherKernel, { x: dy, indices }, attributes)),
  }),
});

/**
 * The tokens of each sample at its indices.
 *
 * @param x [batch, tokens, width]
 * @param indices int32 [batch, count], each in 0..tokens-1 (not checked: that would read them from
 * the device)
 * @returns [batch, count, width]
 * @throws ShapeError when the batches differ or the indices are not int32.
 */
export function gatherTokens(x: tf.Tensor, indices: tf.Tensor): tf.Tensor3D {
  const { batch, tokens } = shapeOf(x, '[batch, tokens, width]', 'gatherTokens: x');
  checkIndices(indices, '[batch, count]', 'gatherTokens: indices', { batch });
  return output(runKernel(gatherKernel, { x, indices }, { tokens })) as tf.Tensor3D;
}

/**
 * The tokens of x put at their indices, zeros elsewhere; tokens with equal indices add up.
 *
 * @param x [batch, count, width]
 * @param indices int32 [batch, count], each in 0..tokens-1 (not checked)
 * @returns [batch, tokens, width]
 * @throws ShapeError when the shapes disagree or the indices are not int32.
 */
export function scatterTokens(x: tf.Tensor, indices: tf.Tensor, tokens: number): tf.Tensor3D {
  const { batch, count } = shapeOf(x, '[batch, count, width]', 'scatterTokens: x');
  checkIndices(indices, '[batch, count]', 'scatterTokens: indices', { batch, count });
  return output(runKernel(scatterKernel, { x, indices }, { tokens })) as tf.Tensor3D;
}

/** `gatherTokens` as a product with one-hot rows, with tfjs's own gradient. */
export function gatherTokensReference(x: tf.Tensor, indices: tf.Tensor): tf.Tensor3D {
  const { batch, tokens } = shapeOf(x, '[batch, tokens, width]', 'gatherTokens: x');
  checkIndices(indices, '[batch, count]', 'gatherTokens: indices', { batch });
  return tf.tidy(() => tf.matMul(oneHotRows(indices, tokens), x as tf.Tensor3D));
}

/** `scatterTokens` as a product with one-hot columns, with tfjs's own gradient. */
export function scatterTokensReference(
  x: tf.Tensor,
  indices: tf.Tensor,
  tokens: number,
): tf.Tensor3D {
  const { batch, count } = shapeOf(x, '[batch, count, width]', 'scatterTokens: x');
  checkIndices(indices, '[batch, count]', 'scatterTokens: indices', { batch, count });
  return tf.tidy(() => tf.matMul(oneHotRows(indices, tokens), x as tf.Tensor3D, true));
}

/** [batch, count, tokens]: 1 at each index. */
function oneHotRows(indices: tf.Tensor, tokens: number): tf.Tensor3D {
  return tf.cast(tf.oneHot(indices, tokens) as tf.Tensor3D, 'float32');
}
