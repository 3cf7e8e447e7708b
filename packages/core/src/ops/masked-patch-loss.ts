// SPDX-License-Identifier: Apache-2.0
// maskedPatchLoss: mean square of prediction - target over the values of all masked patches of a
// batch. Targets are the patches, or the patches each normalized by the mean and unbiased variance
// of its own values, epsilon 1e-6 inside the root. [MAE §3]
//
// B batch, T tokens, M masked patches, P values of a patch.
// Attribute: normalizeTargets (of DmMaskedPatchLoss).
// Kernel DmMaskedPatchLoss: prediction [B, M, P], patches [B, T, P], indices int32 [B, M] -> loss
//   [], difference [B, M, P].
// Kernel DmMaskedPatchLossGrad: dy [], difference -> dPrediction [B, M, P] = 2 dy difference / (B M
//   P).
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors.ts';
import { shapeOf } from '../shapes.ts';
import { gatherTokensReference } from './gather-tokens.ts';
import { checkIndices } from './indices.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { asRows, gatherRows, rowMeans, spread } from './plain.ts';

/** Added to the variance of a normalized target. */
const epsilon = 1e-6;

export interface MaskedPatchLossOptions {
  /** Whether each target patch is normalized by its own mean and variance; default false. */
  readonly normalizeTargets?: boolean;
}

const kernel = defineKernel<
  { readonly prediction: tf.Tensor; readonly patches: tf.Tensor; readonly indices: tf.Tensor },
  { readonly normalizeTargets: boolean }
>({
  name: 'DmMaskedPatchLoss',
  composed: ({ prediction, patches, indices }, { normalizeTargets }) => {
    const rows = asRows(gatherRows(patches as tf.Tensor3D, indices as tf.Tensor2D));
    const target = normalizeTargets ? normalized(rows) : rows;
    const difference = tf.sub(prediction, tf.reshape(target, prediction.shape));
    // By rows first: float32 sums of backends that add one by one stay short.
    const squares = tf.sum(rowMeans(tf.square(asRows(difference))));
    return [tf.mul(squares, 1 / rows.shape[0]), difference];
  },
});

const gradKernel = defineKernel<{ readonly dy: tf.Tensor; readonly difference: tf.Tensor }, object>(
  {
    name: 'DmMaskedPatchLossGrad',
    composed: ({ dy, difference }) => [tf.mul(difference, tf.mul(dy, 2 / difference.size))],
  },
);

defineGradient(kernel, {
  inputs: [],
  outputs: ['', 'difference'],
  gradient: (dy, { difference }) => ({
    prediction: output(runKernel(gradKernel, { dy, difference }, {})),
  }),
});

/**
 * Mean square error of the masked patches; the gradient is of the prediction alone.
 *
 * @param prediction [batch, masked, patchValues]
 * @param patches [batch, tokens, patchValues]
 * @param indices int32 [batch, masked]: which patches were predicted (range not checked)
 * @returns []
 * @throws ShapeError when shapes disagree, nothing is masked, or patches of one value are to be
 * normalized.
 */
export function maskedPatchLoss(
  prediction: tf.Tensor,
  patches: tf.Tensor,
  indices: tf.Tensor,
  options: MaskedPatchLossOptions = {},
): tf.Scalar {
  const { normalizeTargets = false } = options;
  checkShapes(prediction, patches, indices, normalizeTargets);
  return tf.tidy(
    () =>
      output(
        runKernel(kernel, { prediction, patches, indices }, { normalizeTargets }),
      ) as tf.Scalar,
  );
}

/** `maskedPatchLoss` in plain tfjs ops with tfjs's own gradient. */
export function maskedPatchLossReference(
  prediction: tf.Tensor,
  patches: tf.Tensor,
  indices: tf.Tensor,
  options: MaskedPatchLossOptions = {},
): tf.Scalar {
  const { normalizeTargets = false } = options;
  const { patchValues } = checkShapes(prediction, patches, indices, normalizeTargets);
  return tf.tidy(() => {
    let target: tf.Tensor = gatherTokensReference(patches, indices);
    if (normalizeTargets) {
      const centred = tf.sub(target, tf.mean(target, -1, true));
      const variance = tf.div(tf.sum(tf.square(centred), -1, true), patchValues - 1);
      target = tf.div(centred, tf.sqrt(tf.add(variance, epsilon)));
    }
    return tf.mean(tf.square(tf.sub(prediction, target)));
  });
}

function normalized(rows: tf.Tensor2D): tf.Tensor2D {
  const [, values] = rows.shape;
  const centred: tf.Tensor2D = tf.sub(rows, spread(rowMeans(rows), values));
  const variance = tf.mul(tf.sum(tf.square(centred), 1, true), 1 / (values - 1));
  return tf.mul(centred, spread(tf.rsqrt(tf.add(variance, epsilon)), values));
}

function checkShapes(
  prediction: tf.Tensor,
  patches: tf.Tensor,
  indices: tf.Tensor,
  normalizeTargets: boolean,
): { patchValues: number } {
  const where = 'maskedPatchLoss';
  const sizes = shapeOf(prediction, '[batch, masked, patchValues]', `${where}: prediction`);
  const { batch, masked, patchValues } = sizes;
  shapeOf(patches, '[batch, tokens, patchValues]', `${where}: patches`, { batch, patchValues });
  checkIndices(indices, '[batch, masked]', `${where}: indices`, { batch, masked });
  if (prediction.size === 0) {
    throw new ShapeError(`${where}: expected at least one masked value, got none`);
  }
  if (normalizeTargets && patchValues < 2) {
    throw new ShapeError(`${where}: expected patches of at least 2 values to normalize, got 1`);
  }
  return sizes;
}
