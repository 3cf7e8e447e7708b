// SPDX-License-Identifier: Apache-2.0
// Somebody else's weights as a model of ours: the file is recognised by the names in it, every tensor of it is mapped
// or named as left out, and the result is checked as one of our own would be.
import { CheckpointError, ConfigError } from '@diffmavil/core';

import { defineModel } from '../config.ts';
import type { ModelConfig } from '../config.ts';
import { checkParameterShapes } from '../parameters.ts';
import { checkPreprocessor, defaultPreprocessor } from '../preprocessor.ts';
import type { Preprocessor } from '../preprocessor.ts';
import type { Values } from './arrays.ts';
import { cavMae } from './cav-mae-format.ts';
import { ForeignWeights, listed } from './foreign-weights.ts';
import type { ForeignFile } from './foreign-weights.ts';
import type { ConvertOptions, Format, Mapping } from './mapping.ts';
import { mavil } from './mavil-format.ts';
import { huggingFaceVideoMae, spatiotemporalMae } from './video-formats.ts';
import { huggingFaceAst, huggingFaceVit, timmVit } from './vit-formats.ts';

/** In the order they are asked: the first that recognises a file maps it. */
const formats: readonly Format[] = [
  cavMae,
  mavil,
  spatiotemporalMae,
  timmVit,
  huggingFaceVideoMae,
  huggingFaceAst,
  huggingFaceVit,
];

/** What became of a file. */
export interface ConversionSummary {
  /** What the file was found to be. */
  readonly format: string;
  /** How many of its tensors are in the model. */
  readonly mapped: number;
  /** Its tensors that the model has no use for. */
  readonly ignored: readonly string[];
  /** Weights of the model that the file does not have: absent biases as 0, fixed tables computed. */
  readonly initialized: readonly string[];
}

/** A model of ours as plain arrays. */
export interface ConvertedModel {
  readonly config: ModelConfig;
  readonly weights: Readonly<Record<string, Values>>;
  readonly preprocessor: Preprocessor;
  readonly summary: ConversionSummary;
}

/**
 * Converts weights of Hugging Face's ViT, ViT-MAE, VideoMAE and AST, timm's ViT, MAE, AudioMAE, SpatiotemporalMAE, MAViL
 * or CAV-MAE. What a file does not tell (heads, epsilon, mels, classes) is read from its `config`, else taken from the
 * published models.
 *
 * @throws CheckpointError, one sentence, for a file that is none of these, lacks a weight, or has one that is not known.
 */
export function convertForeign(file: ForeignFile, options: ConvertOptions = {}): ConvertedModel {
  const weights = new ForeignWeights(file);
  const format = formats.find((each) => each.recognize(weights));
  if (format === undefined) throw unknown(weights);
  weights.recognizedAs(format.name);
  const activation = weights.config['hidden_act'] ?? 'gelu';
  if (activation !== 'gelu') weights.fail('"hidden_act": "gelu"', JSON.stringify(activation));
  const mapping = format.map(weights, options);
  const { mapped, ignored } = weights.finish();
  const where = `weights: ${file.source}`;
  const config = configOf(mapping, where);
  const preprocessor = preprocessorOf(mapping, config, weights);
  const classes = preprocessor.labels?.length ?? null;
  checkParameterShapes(config, mapping.weights.values, { classes, where });
  const { initialized } = mapping.weights;
  return {
    config,
    weights: mapping.weights.values,
    preprocessor: checkPreprocessor(preprocessor, config, where),
    summary: { format: format.name, mapped, ignored, initialized },
  };
}

/** Whether these are the names of a model of ours. */
export function isOwn(names: readonly string[]): boolean {
  return names.some((name) => /^(audio|video)_encoder\.patch_embed\./.test(name));
}

function unknown(weights: ForeignWeights): CheckpointError {
  if (isOwn(weights.names)) {
    return new CheckpointError(
      `weights: expected weights of another project in ${weights.source}, got a model of diffmavil. ` +
        'Try: use its folder as it is',
    );
  }
  const found = `${weights.names.length} tensors such as ${listed(weights.names)}`;
  return new CheckpointError(
    `weights: expected the weights of ${formats.map(({ name }) => name).join(', ')} in ` +
      `${weights.source}, got ${found}`,
  );
}

function configOf({ config }: Mapping, where: string): ModelConfig {
  try {
    return defineModel(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(`${where}: ${error.message}`, { cause: error });
  }
}

function preprocessorOf(
  { audio, video, classes }: Mapping,
  config: ModelConfig,
  weights: ForeignWeights,
): Preprocessor {
  const defaults = defaultPreprocessor(config);
  return {
    audio: defaults.audio && { ...defaults.audio, ...audio },
    video: defaults.video && { ...defaults.video, ...video },
    labels: classes === null ? null : labelsOf(weights, classes),
    task: classes === null ? null : taskOf(weights, classes),
  };
}

/** Class names in the order of the logits: Hugging Face's id2label, timm's label_names, else numbers. */
function labelsOf({ config }: ForeignWeights, classes: number): string[] {
  const names = (config['id2label'] ?? config['label_names'] ?? {}) as Record<string, unknown>;
  return Array.from({ length: classes }, (_, i) => {
    const name = names[i];
    return typeof name === 'string' ? name : `class ${i}`;
  });
}

/** AudioSet's 527 classes are not exclusive; others are, unless config.json says so. */
function taskOf({ config }: ForeignWeights, classes: number): 'single-label' | 'multi-label' {
  const told = config['problem_type'];
  const multiple = told === 'multi_label_classification' || (told == null && classes === 527);
  return multiple ? 'multi-label' : 'single-label';
}
