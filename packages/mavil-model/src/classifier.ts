// SPDX-License-Identifier: Apache-2.0
// Classifiers to fine-tune: one encoder [DiffMAViL §4, App. C], [AudioMAE], or both and a fusion [MAViL App. B]; mean over
// the tokens, LayerNorm on the mean, a linear head. Logits; the loss (softmax or sigmoid) is the caller's.
import { ConfigError, fold, linear } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyNorm, weightOf } from './blocks.ts';
import type { BranchScales, ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import { checkDropPath, dropPathRates, dropPathScales } from './drop-path.ts';
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
  /** Probability that the last block's branches are skipped for a clip, 0..1 (1 excluded); rises linearly from 0 over the blocks. Default 0. */
  readonly dropPath?: number;
  /** One key per clip, for drop path. */
  readonly keys?: readonly Key[];
}

/**
 * patches [batch, tokens, patchValues] -> logits [batch, classes].
 * Choice: by default the encoder's final LayerNorm is left out, as AudioMAE replaces it by the head's own (`fc_norm`).
 * The caller disposes the result.
 */
export function classifierForward(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  patches: tf.Tensor,
  options: ClassifierOptions = {},
): tf.Tensor2D {
  return tf.tidy(() => {
    const { dropPath = 0, keys, precision = 'float32', ...encoding } = options;
    checkDropPath(dropPath, keys, patches.shape[0] ?? 0, 'classifierForward');
    const rates = dropPathRates(config.encoder.depth, dropPath);
    const drop = dropPath === 0 ? {} : { scales: dropPathScales(rates, keys ?? []) };
    const { finalNorm } = config.classifier;
    const encodeOptions = { ...encoding, ...drop, precision, finalNorm };
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
  /** Probability that a branch of the deepest blocks is skipped for a clip, 0..1 (1 excluded). Default 0. */
  readonly dropPath?: number;
  /** One key per clip, for drop path. */
  readonly keys?: readonly Key[];
}

/**
 * Sound and pictures of the same clips, patches [batch, tokens, patchValues] each -> logits [batch, classes]: both encoders, the fusion, the
 * means of the audio and of the video tokens side by side, LayerNorm, a linear head [MAViL App. B].
 * The encoders' final LayerNorm stays, as the fusion reads it, and so does the fusion's.
 * Choice: drop path rises linearly over the encoder's blocks, and the blocks of a joint fusion, which come after, all take the full rate; a
 * fusion through a bottleneck continues the encoders, and so does the rise.
 * The caller disposes the result. Throws ConfigError when a modality is missing.
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
  const { dropPath = 0, keys = [], order = {}, ...how } = options;
  const batch = patches.audio.shape[0] ?? 0;
  checkDropPath(dropPath, options.keys, batch, where);
  return tf.tidy(() => {
    const { encoder, fusion } = dropPathPlan(config, dropPath);
    const scalesOf = (rates: readonly number[], ...data: string[]): BranchScales[] | null =>
      dropPath === 0
        ? null
        : dropPathScales(
            rates,
            keys.map((key) => fold(key, ...data)),
          );
    const encoded = mapPresent(patches, (tensor, m) => {
      const scales = scalesOf(encoder, m);
      const own = order[m];
      return encode(config, parameters, m, tensor, {
        ...how,
        ...(own && { order: own }),
        ...(scales && { scales }),
      });
    });
    const drops = {
      audio: scalesOf(fusion, 'fusion', 'audio'),
      video: scalesOf(fusion, 'fusion', 'video'),
    };
    const fused = fuse(config, parameters, encoded, { ...how, scales: drops });
    return classify(config, parameters, headName('both'), poolBoth(config, fused), how);
  });
}

/** Drop-path probabilities of the blocks of each encoder, and of the fusion. */
function dropPathPlan(
  { encoder, fusion }: ModelConfig,
  rate: number,
): { readonly encoder: readonly number[]; readonly fusion: readonly number[] } {
  if (fusion.kind === 'bottleneck') {
    const rates = dropPathRates(encoder.depth + fusion.depth, rate);
    return { encoder: rates.slice(0, encoder.depth), fusion: rates.slice(encoder.depth) };
  }
  const last = Array.from({ length: fusion.depth }, () => rate);
  return { encoder: dropPathRates(encoder.depth, rate), fusion: last };
}
