// SPDX-License-Identifier: Apache-2.0
// A clip as one vector [MAViL §3.2]: the mean of what stands for one modality by itself.
import * as tf from '@tensorflow/tfjs-core';

import type { Modality, ModelConfig } from './config.ts';
import { encode, meanPool } from './encoder.ts';
import type { EncodeOptions } from './encoder.ts';
import { unimodalTokens } from './fusion.ts';
import type { Parameters } from './parameters.ts';

/**
 * patches [batch, tokens, patchValues] -> [batch, width]: the mean over the encoder's tokens, or with fusion 'modality-norms' over those
 * after the modality's own pass through the fusion [CAV-MAE]. The caller disposes the result.
 */
export function embedPatches(
  config: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  patches: tf.Tensor,
  options: EncodeOptions = {},
): tf.Tensor2D {
  return tf.tidy(() => {
    const encoded = { [modality]: encode(config, parameters, modality, patches, options) };
    const own = unimodalTokens(config, parameters, encoded, options)[modality] as tf.Tensor3D;
    return meanPool(config, own);
  });
}
