// SPDX-License-Identifier: Apache-2.0
// Fine-tuning a classifier on one modality [DiffMAViL §4, MAViL §4]: pre-trained encoder, mean pooling, norm, linear head; layer-wise
// learning-rate decay, stochastic depth, cross-entropy. From scratch, the encoder starts from its initialisation instead.
import { ConfigError, disposeTree, fold, makeKey } from '@diffmavil/core';
import {
  type Modality,
  type ModelConfig,
  type Preprocessor,
  classifierForward,
  classifierShapes,
  initializeHead,
  initializeParameters,
} from '@diffmavil/model';
import { loadModelFolder, saveModelFolder } from '@diffmavil/model/node';
import { layerDecayScales } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import type { FinetuneConfig } from './config.ts';
import { type ClipEntry, clipsOfSplits, readDataset } from './data/dataset.ts';
import { trainingLoader } from './data/loader.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { buildPreprocessor } from './data/preprocessing.ts';
import type { ProgressOutput } from './progress.ts';
import { type RunRecord, modelFolder, openRunFolder } from './run-folder.ts';
import type { LossOutputs } from './step.ts';
import { type Task, type TrainResult, train } from './train.ts';

export interface FinetuneOptions {
  readonly config: FinetuneConfig;
  /** Model folder whose encoder to start from, or null to start from scratch with `config.model`. */
  readonly init: string | null;
  /** Folder of clips or manifest, with labels. */
  readonly data: string;
  /** Run folder to write. */
  readonly run: string;
  readonly resume: boolean;
  readonly output: ProgressOutput;
  readonly signal?: AbortSignal;
}

/** Fine-tunes and writes the run folder; `model/` holds the classifier, its labels in `preprocessor.json`. */
export async function finetune(options: FinetuneOptions): Promise<Omit<TrainResult, 'parameters'>> {
  const { config, run, output } = options;
  const { modality, model, task } = config;
  const dataset = readDataset(options.data, config.data);
  const clips = clipsOfSplits(dataset, config.data.trainSplits);
  const labels = labelsOf(dataset.labels, clips, options.data);
  const record: RunRecord = {
    kind: 'finetune',
    config,
    data: dataset.source,
    init: options.init ?? 'scratch',
  };
  const base = options.init === null ? null : await loadModelFolder(options.init);
  try {
    if (base !== null) assertSameEncoder(base.config, model, options.init!);
    const checkpoint = openRunFolder(run, record, options.resume);
    const inputs = base?.preprocessor ?? (await buildPreprocessor({ config, clips, run, output }));
    const preprocessor: Preprocessor = { ...inputs, labels, task };
    const { parameters, ...result } = await train({
      run,
      record,
      checkpoint,
      datasetHash: dataset.hash,
      loader: trainingLoader(config, clips, oneModality(preprocessor, modality)),
      task: finetuneTask(config, labels),
      initialize: () => initialWeights(config, labels.length, base?.parameters ?? null),
      parameterNames: Object.keys(classifierShapes(model, modality, labels.length)),
      output,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (result.finished)
      await saveModelFolder(modelFolder(run), { config: model, parameters, preprocessor });
    disposeTree(parameters);
    return result;
  } finally {
    disposeTree(base?.parameters);
  }
}

/** The preprocessor with the other modality left out, so that it is not decoded. */
export function oneModality(preprocessor: Preprocessor, modality: Modality): Preprocessor {
  return { ...preprocessor, audio: null, video: null, [modality]: preprocessor[modality] };
}

/**
 * Learning-rate factor of each weight: `layerDecay` to the power of its distance from the head; embeddings farthest [BEiT, MAE fine-tuning].
 */
export function layerScales(
  names: readonly string[],
  depth: number,
  layerDecay: number,
): Record<string, number> {
  const scales = layerDecayScales(depth, layerDecay);
  return Object.fromEntries(names.map((name) => [name, scales[layerOf(name, depth)]!]));
}

function layerOf(name: string, depth: number): number {
  const block = /_encoder\.blocks\.(\d+)\./.exec(name);
  if (block !== null) return Number(block[1]) + 1;
  return /_encoder\.(patch_embed|cls_token)/.test(name) ? 0 : depth + 1;
}

function labelsOf(all: readonly string[], clips: readonly ClipEntry[], data: string): string[] {
  const unlabelled = clips.find((clip) => clip.labels.length === 0);
  if (unlabelled !== undefined) {
    throw new ConfigError(
      `data: expected a label for every clip of ${data}, got none for ${unlabelled.id}. Try: data.labelColumn`,
    );
  }
  if (all.length < 2)
    throw new ConfigError(`data: expected at least 2 classes in ${data}, got ${all.length}`);
  return [...all];
}

function assertSameEncoder(from: ModelConfig, to: ModelConfig, folder: string): void {
  const inputs = (config: ModelConfig): string =>
    JSON.stringify([config.encoder, config.audio, config.video]);
  if (inputs(from) !== inputs(to)) {
    throw new ConfigError(
      `${folder}: expected the encoder and input sizes of the fine-tune config, got others. Try: leave model out of the config`,
    );
  }
}

function initialWeights(
  { seed, model, modality }: FinetuneConfig,
  classes: number,
  base: Readonly<Record<string, tf.Tensor>> | null,
): Record<string, tf.Tensor> {
  const key = fold(makeKey(seed), 'initialize');
  const source = base ?? initializeParameters(model, key);
  const head = initializeHead(model, modality, classes, key);
  const weights = Object.fromEntries(
    Object.keys(classifierShapes(model, modality, classes)).map((name) => {
      const tensor = head[name] ?? source[name];
      if (tensor === undefined)
        throw new ConfigError(`init: expected a weight ${name}, got none of that name`);
      return [name, tf.clone(tensor)];
    }),
  );
  disposeTree(head);
  if (base === null) disposeTree(source);
  return weights;
}

function finetuneTask(config: FinetuneConfig, labels: readonly string[]): Task {
  const { model, modality, optimizer } = config;
  const names = Object.keys(classifierShapes(model, modality, labels.length));
  return {
    batchSize: () => config.batch.size,
    epochFigures: () => ({}),
    learningRateScales: layerScales(names, model.encoder.depth, optimizer.layerDecay),
    loss: (samples, _epoch, step) => (parameters) => {
      const patches = patchTensor(model, modality, samples);
      const logits = classifierForward(model, parameters, modality, patches, {
        dropPath: config.dropPath,
        keys: samples.map((sample) => fold(sample.key, 'drop-path', step)),
        precision: config.precision,
      });
      const targets = targetTensor(
        samples.map((sample) => sample.clip.labels),
        labels,
        config,
      );
      return {
        loss:
          config.task === 'single-label'
            ? softmaxLoss(logits, targets)
            : sigmoidLoss(logits, targets),
      } satisfies LossOutputs;
    },
  };
}

/** `[batch, classes]`; smoothing moves that share of the mass to all classes evenly. */
function targetTensor(
  clipLabels: readonly (readonly string[])[],
  labels: readonly string[],
  { labelSmoothing }: FinetuneConfig,
): tf.Tensor2D {
  const floor = labelSmoothing / labels.length;
  const rows = clipLabels.map((own) =>
    labels.map((label) => floor + (own.includes(label) ? 1 - labelSmoothing : 0)),
  );
  return tf.tensor2d(rows);
}

/** Mean over the batch of -sum(target * log softmax(logits)); tf.logSoftmax leaks a buffer on wasm. */
function softmaxLoss(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  return tf.neg(
    tf.mean(tf.sum(tf.mul(targets, tf.sub(logits, tf.logSumExp(logits, -1, true))), -1)),
  );
}

/** Mean over batch and classes of the binary cross-entropy, in the form that does not overflow. */
function sigmoidLoss(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  const positive = tf.sub(tf.relu(logits), tf.mul(logits, targets));
  return tf.mean(tf.add(positive, tf.log1p(tf.exp(tf.neg(tf.abs(logits))))));
}
