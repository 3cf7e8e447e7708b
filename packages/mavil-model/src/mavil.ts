// SPDX-License-Identifier: Apache-2.0
// One pre-training pass of the paper [DiffMAViL §3, Fig. 1, App. B], from patches to loss.
// Encoders see visible patches only, once per view; fusion and decoders run on the first view.
import * as tf from '@tensorflow/tfjs-core';

import { decodeAudio } from './audio-decoder.ts';
import type { ComputeOptions } from './blocks.ts';
import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { targetPatches } from './diffusion.ts';
import { encode, meanPool, withoutClassToken } from './encoder.ts';
import { fuse } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { interModalLoss, intraModalLoss, reconstructionLoss, totalLoss } from './losses.ts';
import type { Parameters } from './parameters.ts';
import { checkSameBatch, noisedTargets, splitTokens } from './split-tokens.ts';
import type { ModalityInput, SplitTokens } from './split-tokens.ts';
import { decodeVideo } from './video-decoder.ts';

/** Outputs of a pass; what a configuration has no use for is left out. Losses are unweighted but for `loss`. */
export type PretrainOutputs = {
  /** Weighted total, scalar. */
  loss: tf.Scalar;
  audioLoss?: tf.Scalar;
  videoLoss?: tf.Scalar;
  interLoss?: tf.Scalar;
  intraLoss?: tf.Scalar;
  /** Mean of the visible tokens before fusion, first view: [batch, width]. */
  audioEmbedding?: tf.Tensor2D;
  videoEmbedding?: tf.Tensor2D;
  /** Predicted x_0 of the masked patches, aligned with order[K..): [batch, masked, targetValues]. */
  audioPrediction?: tf.Tensor3D;
  videoPrediction?: tf.Tensor3D;
};

/**
 * The forward pass and its losses. maskRatio in (0, 1): K = floor(tokens (1 - ratio) + 1e-9) tokens are visible.
 * The caller disposes the outputs; run it inside core's `valueAndGrads` to train.
 * Throws ShapeError or ConfigError for inputs that do not fit the configuration.
 */
export function pretrainForward(
  config: ModelConfig,
  parameters: Parameters,
  inputs: PerModality<ModalityInput>,
  maskRatio: number,
  options: ComputeOptions = {},
): PretrainOutputs {
  return tf.tidy(() => {
    const present = modalities(config);
    const split = perModality(present, (m) => splitTokens(config, m, inputs, maskRatio));
    checkSameBatch(split);

    const firstView = encodeView(config, parameters, split, 'visible', options);
    const fused = fuse(config, parameters, firstView, options);
    const targets = perModality(present, (m) => targetPatches(config, m, of(split, m).patches));
    const predictions = perModality(present, (m) => {
      const decode = m === 'audio' ? decodeAudio : decodeVideo;
      const visible = withoutClassToken(config, of(fused, m));
      const noised = noisedTargets(config, of(split, m), of(targets, m));
      return decode(config, parameters, { ...of(split, m), fused: visible, noised }, options);
    });
    const score = (m: Modality): tf.Scalar =>
      reconstructionLoss(config, of(predictions, m), of(targets, m), of(split, m).masked);

    const { interWeight, intraWeight } = config.loss;
    const embeddings = pool(config, firstView);
    const { audio, video } = embeddings;
    const terms = {
      ...(audio && { audioLoss: score('audio') }),
      ...(video && { videoLoss: score('video') }),
      ...(audio && video && interWeight > 0 && { interLoss: interModalLoss(config, audio, video) }),
      ...(intraWeight > 0 && {
        intraLoss: intraModalLoss(
          config,
          embeddings,
          pool(config, encodeView(config, parameters, split, 'second', options)),
        ),
      }),
    };
    return {
      loss: totalLoss(config, terms),
      ...terms,
      ...(audio && { audioEmbedding: audio }),
      ...(video && { videoEmbedding: video }),
      ...(predictions.audio && { audioPrediction: predictions.audio }),
      ...(predictions.video && { videoPrediction: predictions.video }),
    };
  });
}

/** Both encoders on one view: [batch, (1 +) K, width] each. */
function encodeView(
  config: ModelConfig,
  parameters: Parameters,
  split: PerModality<SplitTokens>,
  view: 'visible' | 'second',
  options: ComputeOptions,
): PerModality<tf.Tensor3D> {
  return perModality(modalities(config), (m) => {
    const { patches, [view]: order } = of(split, m);
    return encode(config, parameters, m, patches, { ...options, order });
  });
}

/** Instance embeddings from the uni-modal tokens, before fusion [MAViL §3.2]. */
function pool(config: ModelConfig, tokens: PerModality<tf.Tensor3D>): PerModality<tf.Tensor2D> {
  return perModality(modalities(config), (m) => meanPool(config, of(tokens, m)));
}

function perModality<T>(present: readonly Modality[], make: (m: Modality) => T): PerModality<T> {
  return Object.fromEntries(present.map((modality) => [modality, make(modality)]));
}

/** The value of a modality the model has. */
function of<T>(values: PerModality<T>, modality: Modality): T {
  return values[modality] as T;
}
