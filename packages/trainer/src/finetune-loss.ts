// SPDX-License-Identifier: Apache-2.0
// The loss of a classifier: targets of a batch, mixed and smoothed, and cross-entropies that neither overflow nor leak.
import * as tf from '@tensorflow/tfjs-core';
import type { FinetuneConfig } from './config.ts';
import type { LoadedSample } from './data/loader.ts';

/** Targets of a batch, `[batch, classes]`, a `targetRow` each. The caller disposes them. */
export function classifierTargets(
  samples: readonly Pick<LoadedSample, 'clip' | 'mix'>[],
  labels: readonly string[],
  { labelSmoothing }: Pick<FinetuneConfig, 'labelSmoothing'>,
): tf.Tensor2D {
  return tf.tensor2d(
    samples.map((sample) => targetRow(sample, labels, labelSmoothing)),
    [samples.length, labels.length],
  );
}

/** Cross-entropy of logits and targets, `[batch, classes]` both, as `config.loss` or else `config.task` has it. Call it inside `tf.tidy`. */
export function classifierLoss(
  logits: tf.Tensor2D,
  targets: tf.Tensor2D,
  { task, loss }: Pick<FinetuneConfig, 'task' | 'loss'>,
): tf.Scalar {
  const kind = loss ?? (task === 'single-label' ? 'softmax' : 'sigmoid');
  return kind === 'softmax' ? softmaxLoss(logits, targets) : sigmoidLoss(logits, targets);
}

/**
 * Target of each class, `[classes]`: 1 for a clip's own, with mixup its weight, added up where both clips have the class [AudioMAE]; smoothing
 * moves that share of the mass to all classes evenly.
 */
export function targetRow(
  { clip, mix }: Pick<LoadedSample, 'clip' | 'mix'>,
  labels: readonly string[],
  labelSmoothing: number,
): number[] {
  const weight = mix?.weight ?? 1;
  return labels.map((label) => {
    const own = clip.labels.includes(label) ? weight : 0;
    const other = mix?.clip.labels.includes(label) === true ? 1 - weight : 0;
    return labelSmoothing / labels.length + (1 - labelSmoothing) * (own + other);
  });
}

/** Mean over the batch of -sum(target * log softmax(logits)); tf.logSoftmax leaks a buffer on wasm. */
function softmaxLoss(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  return tf.neg(
    tf.mean(tf.sum(tf.mul(targets, tf.sub(logits, tf.logSumExp(logits, -1, true))), -1)),
  );
}

/** Mean over batch and classes of the binary cross-entropy, in the form that does not overflow. */
function sigmoidLoss(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  const positive = tf.sub(tf.relu(logits), tf.mul(logits, targets));
  return tf.mean(tf.add(positive, tf.log1p(tf.exp(tf.neg(tf.abs(logits))))));
}
