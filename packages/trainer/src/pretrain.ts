// SPDX-License-Identifier: Apache-2.0
// Pre-training [DiffMAViL §3]: masked audio and video patches, diffused, are predicted from the visible ones. The mask ratio follows the
// curriculum, the batch size follows the mask ratio.
import { disposeTree, fold, keysTensorData, makeKey, uniformStream } from '@diffmavil/core';
import {
  type Modality,
  type ModalityInput,
  type ModelConfig,
  initializeParameters,
  maskOrder,
  modalities,
  parameterShapes,
  pretrainForward,
  tokenCount,
} from '@diffmavil/model';
import { saveModelFolder } from '@diffmavil/model/node';
import { adaptiveBatchSize, maskRatio } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import type { RunConfig } from './config.ts';
import { clipsOfSplits, readDataset } from './data/dataset.ts';
import { type LoadedSample, trainingLoader } from './data/loader.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { buildPreprocessor } from './data/preprocessing.ts';
import type { ProgressOutput } from './progress.ts';
import { type RunRecord, modelFolder, openRunFolder } from './run-folder.ts';
import type { LossOutputs } from './step.ts';
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
  const checkpoint = openRunFolder(run, record, options.resume);
  const preprocessor = await buildPreprocessor({ config, clips, run, output });
  const { parameters, ...result } = await train({
    run,
    record,
    checkpoint,
    datasetHash: dataset.hash,
    loader: trainingLoader(config, clips, preprocessor),
    task: pretrainTask(config),
    initialize: () => initializeParameters(config.model, fold(makeKey(config.seed), 'initialize')),
    parameterNames: Object.keys(parameterShapes(config.model)),
    output,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  if (result.finished)
    await saveModelFolder(modelFolder(run), { config: config.model, parameters, preprocessor });
  disposeTree(parameters);
  return result;
}

function pretrainTask(config: RunConfig): Task {
  const { model, masking, epochs, batch } = config;
  const ratio = (epoch: number): number => maskRatio(masking, epoch, epochs);
  return {
    batchSize: (epoch) =>
      batch.adaptive ? adaptiveBatchSize(batch.size, masking, epoch, epochs) : batch.size,
    epochFigures: (epoch) => ({ maskRatio: ratio(epoch) }),
    loss: (samples, epoch, step) => (parameters) => {
      const input = pretrainInput(model, samples, step);
      const outputs = pretrainForward(model, parameters, input, ratio(epoch), {
        precision: config.precision,
        checkpointing: config.checkpointing,
      });
      const scalars = Object.entries(outputs).filter(
        ([, tensor]) => tensor !== undefined && tensor.size === 1,
      );
      return Object.fromEntries(scalars) as LossOutputs;
    },
  };
}

/** Tensors of a batch: patches, and the draws of masks, timesteps and noise, keyed by clip, modality and step. */
export function pretrainInput(
  model: ModelConfig,
  samples: readonly LoadedSample[],
  step: number,
): { audio?: ModalityInput; video?: ModalityInput } {
  return Object.fromEntries(
    modalities(model).map((modality) => [modality, modalityInput(model, modality, samples, step)]),
  );
}

function modalityInput(
  model: ModelConfig,
  modality: Modality,
  samples: readonly LoadedSample[],
  step: number,
): ModalityInput {
  const keys = samples.map((sample) => fold(sample.key, modality, step));
  const tokens = tokenCount(model, modality);
  const order = new Int32Array(keys.length * tokens);
  keys.forEach((key, i) => order.set(maskOrder(fold(key, 'mask'), tokens), i * tokens));
  const steps = model.masked.kind === 'diffused' ? model.masked.timesteps : 1;
  const noiseKeys = keysTensorData(keys.map((key) => fold(key, 'noise')));
  return {
    patches: patchTensor(model, modality, samples),
    order: tf.tensor2d(order, [keys.length, tokens], 'int32'),
    timesteps: Int32Array.from(
      keys,
      (key) => 1 + Math.floor(uniformStream(fold(key, 'timestep'))() * steps),
    ),
    noise: { keys: tf.tensor2d(noiseKeys, [keys.length, 4], 'int32') },
  };
}
