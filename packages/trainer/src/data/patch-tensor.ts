// SPDX-License-Identifier: Apache-2.0
// Samples as one tensor of patches.
import { type Modality, type ModelConfig, patchValues, tokenCount } from '@diffmavil/model';
import * as tf from '@tensorflow/tfjs-core';
import type { Sample } from './sample.ts';

/** `[batch, tokens, patchValues]` of one modality; every sample must have it, and of video the window asked for, 0 by default. */
export function patchTensor(
  config: ModelConfig,
  modality: Modality,
  samples: readonly Sample[],
  window: number = 0,
): tf.Tensor3D {
  const tokens = tokenCount(config, modality);
  const width = patchValues(config, modality);
  const values = new Float32Array(samples.length * tokens * width);
  samples.forEach((sample, i) => {
    const own = tokens * width;
    const patches =
      modality === 'audio'
        ? sample.audioPatches!
        : sample.videoPatches!.subarray(window * own, (window + 1) * own);
    values.set(patches, i * own);
  });
  return tf.tensor3d(values, [samples.length, tokens, width]);
}
