// SPDX-License-Identifier: Apache-2.0
// The pre-training objective [MAViL eq. 1-4, §4.2], [DiffMAViL App. B]: masked mean squares of both modalities,
// plus contrast between modalities and between two views.
import { infoNce, maskedPatchLoss } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { ModelConfig } from './config.ts';
import type { PerModality } from './fusion.ts';

/** The terms of the objective, unweighted; a term a configuration does not use is left out. */
export interface LossTerms {
  readonly audioLoss?: tf.Scalar;
  readonly videoLoss?: tf.Scalar;
  readonly interLoss?: tf.Scalar;
  readonly intraLoss?: tf.Scalar;
}

/**
 * Mean square over the values of masked patches only. Choice: MAViL eq. 1 and every public code against
 * DiffMAViL App. B.1, which sums over all patches; a cross decoder predicts masked ones only.
 * prediction [batch, masked, values], targets [batch, tokens, values], masked int32 [batch, masked] -> scalar.
 */
export function reconstructionLoss(
  config: ModelConfig,
  prediction: tf.Tensor,
  targets: tf.Tensor,
  masked: tf.Tensor,
): tf.Scalar {
  const { normalizeTargets } = config.loss;
  return maskedPatchLoss(prediction, targets, masked, { normalizeTargets });
}

/**
 * Audio embeddings against video embeddings, [batch, width] each: every clip of one modality looks for its own in the
 * other [MAViL eq. 2-3], in the direction(s) of loss.interDirection.
 */
export function interModalLoss(config: ModelConfig, audio: tf.Tensor, video: tf.Tensor): tf.Scalar {
  const { interTemperature: temperature, interDirection } = config.loss;
  const forward = (): tf.Scalar => infoNce(audio, video, { temperature });
  const backward = (): tf.Scalar => infoNce(video, audio, { temperature });
  switch (interDirection) {
    case 'audio-to-video':
      return forward();
    case 'video-to-audio':
      return backward();
    case 'both':
      return tf.mul(tf.add(forward(), backward()), 0.5);
    default:
      return interDirection satisfies never;
  }
}

/** First view against second view, [batch, width] each, averaged over the modalities present [MAViL eq. 4]. */
export function intraModalLoss(
  config: ModelConfig,
  first: PerModality<tf.Tensor>,
  second: PerModality<tf.Tensor>,
): tf.Scalar {
  const { intraTemperature: temperature } = config.loss;
  const losses = (['audio', 'video'] as const).flatMap((modality) => {
    const [queries, keys] = [first[modality], second[modality]];
    return queries && keys ? [infoNce(queries, keys, { temperature })] : [];
  });
  return tf.mul(
    losses.reduce((sum, loss) => tf.add(sum, loss)),
    1 / losses.length,
  );
}

/** Weighted sum of the terms present: 1, 1, 0.1 and 0.01 in the paper. */
export function totalLoss(config: ModelConfig, terms: LossTerms): tf.Scalar {
  const { audioWeight, videoWeight, interWeight, intraWeight } = config.loss;
  const weighted = [
    [terms.audioLoss, audioWeight],
    [terms.videoLoss, videoWeight],
    [terms.interLoss, interWeight],
    [terms.intraLoss, intraWeight],
  ] as const;
  return weighted
    .flatMap(([term, weight]) => (term === undefined ? [] : [tf.mul<tf.Scalar>(term, weight)]))
    .reduce((sum, term) => tf.add(sum, term));
}
