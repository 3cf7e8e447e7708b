// SPDX-License-Identifier: Apache-2.0
// Classifiers to fine-tune: one encoder [DiffMAViL §4, App. C], [AudioMAE], or both and a fusion [MAViL App. B]; mean over
// the tokens, LayerNorm on the mean, a linear head. Logits; the loss (softmax or sigmoid) is the caller's.
import { ConfigError, linear } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyNorm, weightOf } from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import { checkDrops } from './drop-path.ts';
import type { ClassifierDrops } from './drop-path.ts';
import { encode, onlyClassTokens, withoutClassToken } from './encoder.ts';
import { fuse, mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { headName } from './parameter-entries.ts';
import type { Parameters } from './parameters.ts';

export interface ClassifierOptions extends ComputeOptions {
  /** int32 [batch, ordered]: encode only these tokens (masking while fine-tuning). Default: all. */
  readonly order?: tf.Tensor;
  /** How many of `order` to encode, from its start. Default: all of them. */
  readonly visible?: number;
  /** Drop-path factors of this batch, from `classifierDrops`; null: no branch is dropped. Default null. */
  readonly drops?: ClassifierDrops | null;
}

/**
 * patches [batch, tokens, patchValues] -> logits [batch, classes].
 * Choice: by default the encoder's final LayerNorm is left out, as AudioMAE replaces it by the head's own (`fc_norm`).
 * The caller disposes the result. Throws ShapeError when `drops` are of other blocks or another batch.
 */
export function classifierForward(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  patches: tf.Tensor,
  options: ClassifierOptions = {},
): tf.Tensor2D {
  const { drops = null, precision = 'float32', ...encoding } = options;
  if (drops !== null)
    checkDrops(config, modality, drops, patches.shape[0] ?? 0, 'classifierForward');
  return tf.tidy(() => {
    const { finalNorm } = config.classifier;
    const encodeOptions = {
      ...encoding,
      ...scalesOf(drops?.encoders[modality]),
      precision,
      finalNorm,
    };
    const tokens = encode(config, parameters, modality, patches, encodeOptions);
    const pooled = pool(config, tokens);
    return classify(config, parameters, headName(modality), pooled, { precision });
  });
}

/** LayerNorm and linear layer: pooled [batch, width] -> logits [batch, classes]. */
function classify(
  config: ModelConfig,
  parameters: Parameters,
  head: string,
  pooled: tf.Tensor2D,
  { precision = 'float32' }: ComputeOptions,
): tf.Tensor2D {
  const normed = applyNorm(config, parameters, `${head}.norm`, pooled);
  const weight = weightOf(parameters, `${head}.linear.weight`);
  const bias = weightOf(parameters, `${head}.linear.bias`);
  return linear(normed, weight, bias, { precision }) as tf.Tensor2D;
}

/** The tokens that a head reads: [batch, class tokens + visible, width] -> [batch, count, width]. */
function headTokens(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor3D {
  const { pooling } = config.classifier;
  return pooling === 'tokens' ? withoutClassToken(config, tokens) : onlyClassTokens(config, tokens);
}

/** One vector of a clip's tokens: [batch, class tokens + visible, width] -> [batch, width]. */
function pool(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor2D {
  return tf.mean<tf.Tensor2D>(headTokens(config, tokens), 1);
}

/** One vector of both modalities' tokens: [batch, 2 width], or [batch, width] of the mean over all. */
function poolBoth(config: ModelConfig, { audio, video }: PerModality<tf.Tensor3D>): tf.Tensor2D {
  const both = [audio, video].flatMap((tokens) => tokens ?? []);
  if (config.classifier.joint === 'side-by-side') {
    return tf.concat(
      both.map((tokens) => pool(config, tokens)),
      1,
    );
  }
  const all = both.map((tokens) => headTokens(config, tokens));
  return tf.mean<tf.Tensor2D>(tf.concat(all, 1), 1);
}

/** What an audio-visual classifier is told about each modality, and about both. */
export interface AudioVideoClassifierOptions extends ComputeOptions {
  /** int32 [batch, visible] of a modality: encode only these tokens (masking while fine-tuning). Default: all. */
  readonly order?: PerModality<tf.Tensor>;
  /** Drop-path factors of this batch, from `classifierDrops` of 'both'; null: no branch is dropped. Default null. */
  readonly drops?: ClassifierDrops | null;
}

/**
 * Sound and pictures of the same clips, patches [batch, tokens, patchValues] each -> logits [batch, classes]: both encoders, the fusion, the
 * means of the audio and of the video tokens side by side, LayerNorm, a linear head [MAViL App. B].
 * The encoders' final LayerNorm stays, as the fusion reads it, and so does the fusion's.
 * The caller disposes the result. Throws ConfigError when a modality is missing, ShapeError when `drops` are of other blocks or another batch.
 */
export function audioVideoClassifierForward(
  config: ModelConfig,
  parameters: Parameters,
  patches: PerModality<tf.Tensor>,
  options: AudioVideoClassifierOptions = {},
): tf.Tensor2D {
  const where = 'audioVideoClassifierForward';
  if (patches.audio === undefined || patches.video === undefined) {
    const lacking = patches.audio === undefined ? 'audio' : 'video';
    throw new ConfigError(`${where}: expected patches of audio and video, got none of ${lacking}`);
  }
  const { drops = null, order = {}, ...how } = options;
  if (drops !== null) checkDrops(config, 'both', drops, patches.audio.shape[0] ?? 0, where);
  return tf.tidy(() => {
    const encoded = mapPresent(patches, (tensor, m) => {
      const own = order[m];
      return encode(config, parameters, m, tensor, {
        ...how,
        ...(own && { order: own }),
        ...scalesOf(drops?.encoders[m]),
      });
    });
    const fused = fuse(config, parameters, encoded, { ...how, ...scalesOf(drops?.fusion) });
    return classify(config, parameters, headName('both'), poolBoth(config, fused), how);
  });
}

/** As the option of a stack of blocks, absent without any. */
function scalesOf<T>(scales: T | undefined): { readonly scales?: T } {
  return scales === undefined ? {} : { scales };
}
