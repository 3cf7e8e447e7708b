// SPDX-License-Identifier: Apache-2.0
// Keyed inputs for this package's tests; not exported.
import { fold, keysTensorData, makeKey, normals } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { defineModel, modalities, patchValues, tokenCount } from './config.ts';
import type { ModelConfig, PartialModelConfig } from './config.ts';
import type { PerModality } from './fusion.ts';
import { maskOrder } from './masking.ts';
import { presets } from './presets.ts';
import type { PresetName } from './presets.ts';
import type { ModalityInput } from './split-tokens.ts';

/** Normal patches, mask orders, timesteps 100, 200, … and keyed noise for `batch` clips. The caller disposes them. */
export function testInputs(
  config: ModelConfig,
  batch: number,
  seed: number,
): PerModality<ModalityInput> {
  const key = makeKey(seed);
  return Object.fromEntries(
    modalities(config).map((modality) => {
      const own = fold(key, modality);
      const shape = [batch, tokenCount(config, modality), patchValues(config, modality)] as const;
      const clips = Array.from({ length: batch }, (_, clip) => clip);
      const orders = clips.flatMap((clip) => [...maskOrder(fold(own, 'mask', clip), shape[1])]);
      const keys = keysTensorData(clips.map((clip) => fold(own, 'noise', clip)));
      const input: ModalityInput = {
        patches: tf.tensor3d(normals(own, shape[0] * shape[1] * shape[2]), [...shape]),
        order: tf.tensor2d(orders, [batch, shape[1]], 'int32'),
        timesteps: clips.map((clip) => 100 * (clip + 1)),
        noise: { keys: tf.tensor2d(keys, [batch, 4], 'int32') },
      };
      return [modality, input];
    }),
  );
}

/** A preset with its mechanisms, but hardly any width: no number of tokens is one more than that of a head or of all heads. */
export function shrunkPreset(name: PresetName): ModelConfig {
  if (name === 'tiny' || name === 'small') return presets[name];
  const { audio, video, encoder, fusion, decoder, targets, ...rest } = presets[name];
  const frames = (video?.frames ?? 1) > 1 ? 4 : 1;
  const { tubelet = 1, predictFrames = 1 } = video ?? {};
  const predicted = predictFrames === video?.frames ? frames : frames / tubelet;
  const partial: PartialModelConfig = {
    ...rest,
    audio: audio && { frames: 64, mels: 64, patch: 8 },
    video: video && { frames, size: 32, tubelet, patch: 8, predictFrames: predicted },
    encoder: { ...encoder, width: 60, heads: 3, depth: Math.min(encoder.depth, 2) },
    fusion: { ...fusion, depth: Math.min(fusion.depth, 2) },
    decoder: { ...decoder, width: 40, heads: 2, depth: Math.min(decoder.depth, 2) },
    targets: targets.kind === 'teacher' ? { ...targets, width: 20 } : targets,
  };
  return defineModel(partial);
}
