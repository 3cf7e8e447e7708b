// SPDX-License-Identifier: Apache-2.0
// Mid-fusion to fine-tune with, out of a pre-trained model [MBT], [Audiovisual MAE App. B]: the last blocks of both encoders become the fusion's own,
// and what they could not do before, exchange, goes through a few new tokens.
import { ConfigError } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { weightOf } from './blocks.ts';
import { defineModel, modalities } from './config.ts';
import type { ModelConfig } from './config.ts';
import { encoderEntries, fusionEntries } from './parameter-entries.ts';
import { initializeClassifier } from './parameters.ts';
import type { Parameters } from './parameters.ts';

export interface BottleneckOptions {
  /** Key of the new tokens. */
  readonly key: Key;
  /** How many tokens the modalities exchange through, 1..1024. Default 4 [MAViL §3.1]. */
  readonly bottlenecks?: number;
}

/** A configuration and weights of its encoders and its fusion, no decoders. */
export interface BottleneckModel {
  readonly config: ModelConfig;
  readonly parameters: Readonly<Record<string, tf.Tensor>>;
}

/**
 * The configuration of `bottleneckFromEncoders`. Throws ConfigError for a model of one modality or a fusionLayer outside
 * 0..encoder.depth - 1.
 */
export function bottleneckConfig(
  config: ModelConfig,
  fusionLayer: number,
  bottlenecks: number = 4,
): ModelConfig {
  const { depth } = config.encoder;
  const where = 'bottleneckFromEncoders';
  if (modalities(config).length < 2) {
    throw new ConfigError(`${where}: expected a model of audio and video, got one of them`);
  }
  if (!Number.isInteger(fusionLayer) || fusionLayer < 0 || fusionLayer >= depth) {
    throw new ConfigError(`${where}: expected fusionLayer 0..${depth - 1}, got ${fusionLayer}`);
  }
  return defineModel({
    ...config,
    encoder: { ...config.encoder, depth: fusionLayer, finalNorm: false },
    classifier: { ...config.classifier, finalNorm: false },
    fusion: { kind: 'bottleneck', depth: depth - fusionLayer, bottlenecks, finalNorm: false },
  });
}

/**
 * Turns encoders of `encoder.depth` blocks into encoders of `fusionLayer` blocks and a bottleneck fusion of the rest, started from the blocks
 * of each encoder that it replaces; shared blocks go to both. What the fusion was before is dropped. No LayerNorm stands between the encoders
 * and the fusion, as none stood between those blocks, nor after the fusion, where one would have to do for both: the head has its own.
 * The weights given stay as they are; the caller disposes the new ones. Throws ConfigError as `bottleneckConfig`.
 */
export function bottleneckFromEncoders(
  config: ModelConfig,
  parameters: Parameters,
  fusionLayer: number,
  { key, bottlenecks }: BottleneckOptions,
): BottleneckModel {
  const made = bottleneckConfig(config, fusionLayer, bottlenecks);
  const { sharing } = config.encoder;
  const encoderOf = (modality: string): string =>
    `${sharing === 'shared' ? 'shared' : modality}_encoder`;
  const sourceOf = (name: string): string =>
    name.replace(
      /^fusion\.(audio|video)_blocks\.(\d+)/,
      (_, modality: string, block: string) =>
        `${encoderOf(modality)}.blocks.${fusionLayer + Number(block)}`,
    );
  const names = [...encoderEntries(made, modalities(made)), ...fusionEntries(made)].map(
    ({ name }) => name,
  );
  const drawn = initializeClassifier(made, 'both', 1, key, (name) => name === 'fusion.bottleneck');
  const taken = tf.tidy(() =>
    Object.fromEntries(
      names
        .filter((name) => !Object.hasOwn(drawn, name))
        .map((name) => [name, tf.clone(weightOf(parameters, sourceOf(name)))]),
    ),
  );
  return { config: made, parameters: { ...taken, ...drawn } };
}
