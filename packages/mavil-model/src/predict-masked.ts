// SPDX-License-Identifier: Apache-2.0
// What a pre-trained model predicts for hidden patches, without a loss: the visible tokens are encoded and fused once,
// the decoders then run as often as asked [DiffMAE §3.2].
import { ConfigError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { ComputeOptions } from './blocks.ts';
import type { Modality, ModelConfig } from './config.ts';
import { shownOf } from './decoder-tokens.ts';
import type { NoisedPatches, ShownTokens } from './decoder-tokens.ts';
import { decode, shownModality } from './decoder.ts';
import { encode } from './encoder.ts';
import { fuse, mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import type { Parameters } from './parameters.ts';
import type { SplitTokens } from './split-tokens.ts';

/** Diffused patches x_t of each modality at hand, nothing with mask tokens, -> x_0 [batch, masked, targetPatchValues]. */
export type MaskedPredictor = (noised: PerModality<NoisedPatches>) => PerModality<tf.Tensor3D>;

/**
 * Encodes and fuses the visible tokens; call it, and what it returns, inside a `tf.tidy`. Either modality of two may be left out.
 * Throws ConfigError for a model that predicts no patches, or lacks what it predicts them from.
 */
export function maskedPredictor(
  config: ModelConfig,
  parameters: Parameters,
  split: PerModality<SplitTokens>,
  options: ComputeOptions = {},
): MaskedPredictor {
  if (config.targets.kind !== 'patches') {
    throw new ConfigError("predict: expected a model with targets.kind 'patches', got 'teacher'");
  }
  const encoded = mapPresent(split, ({ patches, visible: order }, m) =>
    encode(config, parameters, m, patches, { ...options, order }),
  );
  if (encoded.audio === undefined && encoded.video === undefined) {
    throw new ConfigError('predict: expected patches of audio, video or both, got neither');
  }
  const fused = fuse(config, parameters, encoded, options);
  return (noised) => {
    const inputs = mapPresent(split, ({ masked }, m) => {
      const shown = shownTokens(config, m, split, fused);
      return { shown, masked, noised: noised[m] ?? null };
    });
    return decode(config, parameters, inputs, options);
  };
}

/** Visible tokens that the decoder of a modality reads. */
function shownTokens(
  config: ModelConfig,
  modality: Modality,
  split: PerModality<SplitTokens>,
  fused: PerModality<tf.Tensor3D>,
): ShownTokens {
  const source = shownModality(config, modality);
  const [tokens, order] = [fused[source], split[source]?.visible];
  if (tokens === undefined || order === undefined) {
    throw new ConfigError(
      `predict: expected ${source} too, as this model paints ${modality} in from it, got none`,
    );
  }
  return shownOf(config, source, tokens, order);
}
