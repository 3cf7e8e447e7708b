// SPDX-License-Identifier: Apache-2.0
// Fine-tuning of one encoder for classification [DiffMAViL §4, App. C], [AudioMAE]: mean over the tokens,
// LayerNorm on the mean, a linear head. Logits; the loss (softmax or sigmoid) is the caller's.
import { ConfigError, fold, linear, uniforms } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyNorm, weightOf } from './blocks.ts';
import type { BranchScales, ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import { encode, meanPool, onlyClassTokens } from './encoder.ts';
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
    const batch = patches.shape[0] ?? 0;
    const drop = dropPath === 0 ? {} : { scales: dropPathScales(config, dropPath, keys, batch) };
    const { finalNorm } = config.classifier;
    const encodeOptions = { ...encoding, ...drop, precision, finalNorm };
    const tokens = encode(config, parameters, modality, patches, encodeOptions);
    const pooled = applyNorm(config, parameters, `${modality}_head.norm`, pool(config, tokens));
    const weight = weightOf(parameters, `${modality}_head.linear.weight`);
    const bias = weightOf(parameters, `${modality}_head.linear.bias`);
    return linear(pooled, weight, bias, { precision }) as tf.Tensor2D;
  });
}

/** One vector of a clip's tokens: [batch, class tokens + visible, width] -> [batch, width]. */
function pool(config: ModelConfig, tokens: tf.Tensor3D): tf.Tensor2D {
  if (config.classifier.pooling === 'tokens') return meanPool(config, tokens);
  return tf.mean<tf.Tensor2D>(onlyClassTokens(config, tokens), 1);
}

/** Drop-path probability of each block, linear from 0 to `rate` over the depth [timm]. */
export function dropPathRates(depth: number, rate: number): number[] {
  return Array.from({ length: depth }, (_, i) => (depth === 1 ? rate : (rate * i) / (depth - 1)));
}

/** Factors [batch] of each block's branches: 0 when dropped, else 1 / (1 - p). Block i of a clip takes draws 2i, 2i + 1. */
function dropPathScales(
  config: ModelConfig,
  rate: number,
  keys: readonly Key[] | undefined,
  batch: number,
): BranchScales[] {
  if (!(rate >= 0 && rate < 1)) {
    throw new ConfigError(`classifierForward: expected dropPath in [0, 1), got ${rate}`);
  }
  if (keys?.length !== batch) {
    const got = keys === undefined ? 'none' : String(keys.length);
    throw new ConfigError(`classifierForward: expected ${batch} keys for dropPath, got ${got}`);
  }
  const { depth } = config.encoder;
  const draws = keys.map((key) => uniforms(fold(key, 'drop-path'), 2 * depth));
  return dropPathRates(depth, rate).map((p, i) => {
    const scale = (branch: number): tf.Tensor =>
      tf.tensor1d(draws.map((draw) => ((draw[2 * i + branch] ?? 1) < p ? 0 : 1 / (1 - p))));
    return { attention: scale(0), mlp: scale(1) };
  });
}
