// SPDX-License-Identifier: Apache-2.0
// The model of a fine-tuning run: which configuration it has, which weights it starts with, and how fast each learns.
import { ConfigError, disposeTree, fold, makeKey } from '@diffmavil/core';
import {
  type ModelConfig,
  bottleneckConfig,
  bottleneckFromEncoders,
  classifierShapes,
  defineModel,
  headName,
  initializeClassifier,
} from '@diffmavil/model';
import { layerDecayScales } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import type { FinetuneConfig } from './config.ts';

type Weights = Readonly<Record<string, tf.Tensor>>;

/** Configuration of the classifier: the pre-trained model's, with the fusion that the run asks for where it reads both modalities. */
export function classifierModel({ model, modality, fusion }: FinetuneConfig): ModelConfig {
  if (modality !== 'both') return model;
  switch (fusion.kind) {
    case 'pretrained':
      return model;
    case 'joint':
      // The head's LayerNorm follows, as in MAViL.
      return defineModel({
        ...model,
        fusion: { kind: 'joint', depth: fusion.depth, finalNorm: false },
      });
    case 'bottleneck':
      return bottleneckConfig(model, fusionLayerOf(model, fusion), fusion.bottlenecks);
    default:
      return fusion satisfies never;
  }
}

/** Encoder blocks before a bottleneck: two thirds unless named, 8 of 12 [MBT]. */
function fusionLayerOf(
  { encoder }: ModelConfig,
  { fusionLayer }: { readonly fusionLayer: number | null },
): number {
  return fusionLayer ?? Math.floor((2 * encoder.depth) / 3);
}

/**
 * Weights to start from: those of `base` and, drawn from the seed, the head and the blocks that are new; all drawn without a base.
 * The caller disposes them. @throws ConfigError when the base lacks a weight.
 */
export function initialWeights(
  config: FinetuneConfig,
  classes: number,
  base: { readonly config: ModelConfig; readonly parameters: Weights } | null,
): Record<string, tf.Tensor> {
  const { modality, fusion, seed } = config;
  const model = classifierModel(config);
  const key = fold(makeKey(seed), 'initialize');
  if (base === null) return initializeClassifier(model, modality, classes, key);
  const both = modality === 'both';
  const drawnAnew = (name: string): boolean =>
    name.startsWith(`${headName(modality)}.`) ||
    (both && fusion.kind === 'joint' && name.startsWith('fusion.'));
  const moved =
    both && fusion.kind === 'bottleneck'
      ? bottleneckFromEncoders(base.config, base.parameters, fusionLayerOf(base.config, fusion), {
          key,
          bottlenecks: fusion.bottlenecks,
        }).parameters
      : null;
  try {
    const source = moved ?? base.parameters;
    const names = Object.keys(classifierShapes(model, modality, classes));
    const missing = names.find((name) => !drawnAnew(name) && source[name] === undefined);
    if (missing !== undefined)
      throw new ConfigError(`init: expected a weight ${missing}, got none of that name`);
    const drawn = initializeClassifier(model, modality, classes, key, drawnAnew);
    return Object.fromEntries(
      names.map((name) => [name, drawn[name] ?? tf.clone(source[name]!)] as const),
    );
  } finally {
    disposeTree(moved);
  }
}

/**
 * Learning-rate factor of each weight: `layerDecay` to the power of its distance from the head, embeddings farthest [BEiT, MAE fine-tuning];
 * `video` more for the weights that see video alone. A fusion through a bottleneck continues the encoders its blocks come from; a joint
 * fusion is as near as the head.
 */
export function layerScales(
  names: readonly string[],
  { encoder, fusion }: Pick<ModelConfig, 'encoder' | 'fusion'>,
  layerDecay: number,
  video: number = 1,
): Record<string, number> {
  const between = fusion.kind === 'bottleneck' ? fusion.depth : 0;
  const scales = layerDecayScales(encoder.depth + between, layerDecay);
  const layerOf = (name: string): number => {
    const block = /_encoder\.blocks\.(\d+)\./.exec(name);
    if (block !== null) return Number(block[1]) + 1;
    const fused = /^fusion\.(?:audio|video)_blocks\.(\d+)\./.exec(name);
    if (fused !== null) return encoder.depth + Number(fused[1]) + 1;
    const embeds = /_encoder\.(patch_embed|cls_token|dist_token|modality_token|positions)/;
    return embeds.test(name) ? 0 : scales.length - 1;
  };
  const factor = (name: string): number =>
    /^(video_encoder|fusion\.video_blocks)\./.test(name) ? video : 1;
  return Object.fromEntries(names.map((name) => [name, scales[layerOf(name)]! * factor(name)]));
}
