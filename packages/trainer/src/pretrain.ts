// SPDX-License-Identifier: Apache-2.0
// Pre-training [DiffMAViL §3]: masked audio and video patches, diffused, are predicted from the visible ones. The mask ratio follows the
// curriculum, the batch size follows the mask ratio.
import {
  type Key,
  disposeTree,
  fold,
  keysTensorData,
  makeKey,
  uniformStream,
} from '@diffmavil/core';
import {
  type MaskRatios,
  type Modality,
  type ModalityInput,
  type ModelConfig,
  type PerModality,
  type Teacher,
  checkTeacher,
  drawMask,
  initializeParameters,
  mapPresent,
  maskRatioOf,
  maskRatiosAt,
  modalities,
  parameterShapes,
  pretrainForward,
  teacherTargets,
  tokenCount,
  visibleTokenCount,
} from '@diffmavil/model';
import { type ModelFolder, loadModelFolder, saveModelFolder } from '@diffmavil/model/node';
import { adaptiveBatchSize } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import type { RunConfig } from './config.ts';
import { clipsOfSplits, readDataset } from './data/dataset.ts';
import { type LoadedSample, trainingLoader } from './data/loader.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { buildPreprocessor } from './data/preprocessing.ts';
import type { ProgressOutput } from './progress.ts';
import { type RunRecord, modelFolder, modelFolderOf, openRunFolder } from './run-folder.ts';
import type { LossOutputs } from './step.ts';
import type { PreparedBatch } from './step-graphs.ts';
import { type Task, type TrainResult, train } from './train.ts';

export interface PretrainOptions {
  readonly config: RunConfig;
  /** Folder of clips or manifest. */
  readonly data: string;
  /** Run folder to write. */
  readonly run: string;
  readonly resume: boolean;
  readonly output: ProgressOutput;
  readonly signal?: AbortSignal;
}

/** Pre-trains and writes the run folder; `model/` holds the weights at the end. */
export async function pretrain(options: PretrainOptions): Promise<Omit<TrainResult, 'parameters'>> {
  const { config, data, run, output } = options;
  const dataset = readDataset(data, config.data);
  const clips = clipsOfSplits(dataset, config.data.trainSplits);
  const record: RunRecord = { kind: 'pretrain', config, data: dataset.source };
  const teacher = await loadTeacher(config);
  try {
    const checkpoint = openRunFolder(run, record, options.resume);
    // Choice: the student's sound is scaled as the teacher's was; what else it saw would be foreign to it.
    const scale = teacher?.preprocessor.audio ?? null;
    const preprocessor = await buildPreprocessor({ config, clips, run, output, scale });
    const { parameters, ...result } = await train({
      run,
      record,
      checkpoint,
      datasetHash: dataset.hash,
      loader: trainingLoader(config, clips, preprocessor),
      task: pretrainTask(config, teacher),
      initialize: () =>
        initializeParameters(config.model, fold(makeKey(config.seed), 'initialize')),
      parameterNames: Object.keys(parameterShapes(config.model)),
      output,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (result.finished)
      await saveModelFolder(modelFolder(run), { config: config.model, parameters, preprocessor });
    disposeTree(parameters);
    return result;
  } finally {
    disposeTree(teacher?.parameters);
  }
}

/** The frozen model whose features are predicted, if the configuration has one. */
async function loadTeacher(config: RunConfig): Promise<ModelFolder | null> {
  if (config.teacher === null) return null;
  const teacher = await loadModelFolder(modelFolderOf(config.teacher));
  try {
    checkTeacher(config.model, teacher.config);
  } catch (error) {
    disposeTree(teacher.parameters);
    throw error;
  }
  return teacher;
}

function pretrainTask(config: RunConfig, teacher: Teacher | null): Task {
  const { model, masking, epochs, batch, precision, checkpointing } = config;
  const { targets } = model;
  return {
    batchSize: (epoch) =>
      batch.adaptive && 'kind' in masking
        ? adaptiveBatchSize(batch.size, masking, epoch, epochs)
        : batch.size,
    epochFigures: (epoch) => maskFigures(maskRatiosAt(masking, epoch, epochs)),
    prepare: (samples, epoch, step) => {
      const ratios = maskRatiosAt(masking, epoch, epochs);
      const loss: PreparedBatch<PerModality<ModalityInput>>['loss'] = (parameters, input) => {
        const patches = mapPresent(input, (own) => own.patches);
        const learned =
          teacher !== null && targets.kind === 'teacher'
            ? teacherTargets(teacher, targets, patches, { precision })
            : {};
        const given = mapPresent(input, (own, m) => ({
          ...own,
          ...(learned[m] && { targets: learned[m] }),
        }));
        const outputs = pretrainForward(model, parameters, given, ratios, {
          precision,
          checkpointing,
        });
        const scalars = Object.entries(outputs).filter(
          ([, tensor]) => tensor !== undefined && tensor.size === 1,
        );
        return Object.fromEntries(scalars) as LossOutputs;
      };
      const tensors = pretrainInput(model, samples, step, ratios);
      return { tensors, loss, key: visibleKey(model, ratios) };
    },
  };
}

/** How many tokens are visible: all that ratios decide. */
function visibleKey(model: ModelConfig, ratios: MaskRatios): string {
  const counts = modalities(model).map((m) => visibleTokenCount(model, m, maskRatioOf(ratios, m)));
  return counts.join(' ');
}

/** As logged: `maskRatio`, or one for each modality. */
function maskFigures(ratios: MaskRatios): Record<string, number> {
  if (typeof ratios === 'number') return { maskRatio: ratios };
  const { audio, video } = ratios;
  return {
    ...(audio !== undefined && { audioMaskRatio: audio }),
    ...(video !== undefined && { videoMaskRatio: video }),
  };
}

/** Tensors of a batch: patches, and the draws of masks, timesteps and noise, keyed by clip, modality and step. */
export function pretrainInput(
  model: ModelConfig,
  samples: readonly LoadedSample[],
  step: number,
  ratios: MaskRatios,
): PerModality<ModalityInput> {
  return Object.fromEntries(
    modalities(model).map((modality) => [
      modality,
      modalityInput(model, modality, samples, step, maskRatioOf(ratios, modality)),
    ]),
  );
}

function modalityInput(
  model: ModelConfig,
  modality: Modality,
  samples: readonly LoadedSample[],
  step: number,
  ratio: number,
): ModalityInput {
  const keys = samples.map((sample) => fold(sample.key, modality, step));
  const tokens = tokenCount(model, modality);
  const orders = (purpose: string): tf.Tensor2D => {
    const values = new Int32Array(keys.length * tokens);
    for (const [i, key] of keys.entries()) {
      values.set(drawMask(model, modality, ratio, fold(key, purpose)), i * tokens);
    }
    return tf.tensor2d(values, [keys.length, tokens], 'int32');
  };
  const second = model.loss.intraWeight > 0 && model.masking.secondView === 'independent';
  return {
    patches: patchTensor(model, modality, samples),
    order: orders('mask'),
    ...(second && { secondOrder: orders('second-mask') }),
    ...(model.masked.kind === 'diffused' && noising(keys, model.masked.timesteps)),
  };
}

function noising(
  keys: readonly Key[],
  timesteps: number,
): Pick<ModalityInput, 'timesteps' | 'noise'> {
  const noiseKeys = keysTensorData(keys.map((key) => fold(key, 'noise')));
  return {
    timesteps: tf.tensor1d(
      keys.map((key) => 1 + Math.floor(uniformStream(fold(key, 'timestep'))() * timesteps)),
      'int32',
    ),
    noise: { keys: tf.tensor2d(noiseKeys, [keys.length, 4], 'int32') },
  };
}
