// SPDX-License-Identifier: Apache-2.0
// Fine-tuning a classifier of sound, pictures or both [DiffMAViL §4, MAViL §4, App. B]: pre-trained encoders, mean pooling, norm, linear head;
// layer-wise learning-rate decay, stochastic depth, masking, mixup, cross-entropy. From scratch, all weights are drawn instead.
import { type Key, ConfigError, disposeTree, fold } from '@diffmavil/core';
import {
  type AudioVideoClassifierOptions,
  type ClassifierDrops,
  type ClassifierInput,
  type ClassifierOptions,
  type Modality,
  type ModelConfig,
  type Parameters,
  type Preprocessor,
  audioVideoClassifierForward,
  classifierDrops,
  classifierForward,
  classifierShapes,
} from '@diffmavil/model';
import { loadModelFolder, saveModelFolder } from '@diffmavil/model/node';
import type * as tf from '@tensorflow/tfjs-core';
import type { FinetuneConfig } from './config.ts';
import { type ClipEntry, clipsOfSplits, readDataset } from './data/dataset.ts';
import { trainingLoader } from './data/loader.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { buildPreprocessor } from './data/preprocessing.ts';
import { classWeights } from './data/sampler.ts';
import { classifierLoss, classifierTargets } from './finetune-loss.ts';
import { visibleTokens } from './finetune-masking.ts';
import { classifierModel, initialWeights, layerScales } from './finetune-model.ts';
import type { ProgressOutput } from './progress.ts';
import { type RunRecord, differences, modelFolder, openRunFolder } from './run-folder.ts';
import type { PreparedBatch } from './step-graphs.ts';
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
  const { modality, task } = config;
  const model = classifierModel(config);
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
    if (base !== null) assertSameEncoder(base.config, config.model, options.init!);
    const checkpoint = openRunFolder(run, record, options.resume);
    const inputs = base?.preprocessor ?? (await buildPreprocessor({ config, clips, run, output }));
    const preprocessor: Preprocessor = { ...inputs, labels, task };
    const { parameters, ...result } = await train({
      run,
      record,
      checkpoint,
      datasetHash: dataset.hash,
      loader: {
        ...trainingLoader(config, clips, preprocessorOf(preprocessor, modality)),
        mixup: config.mixup,
        weights: config.balancedClasses ? classWeights(clips) : null,
      },
      task: finetuneTask(config, labels),
      initialize: () => initialWeights(config, labels.length, base),
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

/** The preprocessor of what a classifier reads: a modality left out is not decoded. */
export function preprocessorOf(preprocessor: Preprocessor, input: ClassifierInput): Preprocessor {
  if (input === 'both') return preprocessor;
  return { ...preprocessor, audio: null, video: null, [input]: preprocessor[input] };
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
  const keys = ['encoder', 'audio', 'video'] as const;
  const faults = keys.flatMap((key) => differences(to[key], from[key], `model.${key}`));
  if (faults.length > 0) {
    throw new ConfigError(
      `${folder}: expected the encoder and input sizes of the fine-tune config, got ${faults.join('; ')}. Try: leave model out of the config`,
    );
  }
}

/** What a fine-tuning run trains: its loss is a function of the weights and of the batch's tensors. */
export function finetuneTask(config: FinetuneConfig, labels: readonly string[]): Task {
  const { modality, optimizer, masking, dropPath, precision, checkpointing } = config;
  const model = classifierModel(config);
  const names = Object.keys(classifierShapes(model, modality, labels.length));
  const videoRate = modality === 'both' ? config.videoLearningRate : 1;
  const loss: PreparedBatch<FinetuneBatch>['loss'] = (parameters, batch) => {
    const { audio, video, drops, targets } = batch;
    const options = { drops, precision, checkpointing };
    const logits =
      modality === 'both'
        ? bothLogits(model, parameters, audio!, video!, options)
        : oneLogits(model, parameters, modality, (audio ?? video)!, options);
    return { loss: classifierLoss(logits, targets, config) };
  };
  return {
    batchSize: () => config.batch.size,
    epochFigures: () => ({}),
    learningRateScales: layerScales(names, model, optimizer.layerDecay, videoRate),
    prepare: (samples, _epoch, step) => {
      const keysOf = (...purpose: string[]): Key[] =>
        samples.map((sample) => fold(sample.key, ...purpose, step));
      const inputs = (m: Modality): ClassifierBatch => ({
        patches: patchTensor(model, m, samples),
        order: visibleTokens(model, m, masking, keysOf('masking', m)),
      });
      const tensors: FinetuneBatch = {
        audio: modality === 'video' ? null : inputs('audio'),
        video: modality === 'audio' ? null : inputs('video'),
        drops: classifierDrops(model, modality, dropPath, keysOf('drop-path')),
        targets: classifierTargets(samples, labels, config),
      };
      // The rest is the same in every step of a run, but for the count of visible tokens, which is in the shapes.
      return { tensors, loss, key: modality };
    },
  };
}

/** What changes from step to step. */
interface FinetuneBatch {
  readonly audio: ClassifierBatch | null;
  readonly video: ClassifierBatch | null;
  readonly drops: ClassifierDrops | null;
  /** `[batch, classes]`. */
  readonly targets: tf.Tensor2D;
}

interface ClassifierBatch {
  readonly patches: tf.Tensor3D;
  readonly order: tf.Tensor2D | null;
}

function oneLogits(
  model: ModelConfig,
  parameters: Parameters,
  modality: Modality,
  { patches, order }: ClassifierBatch,
  options: ClassifierOptions,
): tf.Tensor2D {
  const visible = order === null ? {} : { order };
  return classifierForward(model, parameters, modality, patches, { ...options, ...visible });
}

function bothLogits(
  model: ModelConfig,
  parameters: Parameters,
  audio: ClassifierBatch,
  video: ClassifierBatch,
  options: AudioVideoClassifierOptions,
): tf.Tensor2D {
  const patches = { audio: audio.patches, video: video.patches };
  const order = {
    ...(audio.order && { audio: audio.order }),
    ...(video.order && { video: video.order }),
  };
  return audioVideoClassifierForward(model, parameters, patches, { ...options, order });
}
