// SPDX-License-Identifier: Apache-2.0
// The loop, shared by pre-training and fine-tuning: epochs of batches, one step each, a log line each, checkpoints, exact resume.
// What is trained is a `Task`; the loop knows neither model nor loss.
import { disposeTree } from '@diffmavil/core';
import { learningRate } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import { type RunPosition, type TrainState, loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import type { OptimizerConfig } from './config.ts';
import { ClipLoader, type LoadedSample, type LoaderOptions } from './data/loader.ts';
import { appendRecord, truncateRecords } from './json-lines.ts';
import { type ProgressOutput, startProgress } from './progress.ts';
import { type RunRecord, configHash, logFile } from './run-folder.ts';
import { type LossOutputs, type StepFigures, trainStep } from './step.ts';
import { createEventFile } from './tensorboard.ts';

/** What the loop trains. */
export interface Task {
  /** Samples a step in an epoch. */
  batchSize(epoch: number): number;
  /** Figures that stand for a whole epoch, logged with each step: the mask ratio, for one. */
  epochFigures(epoch: number): Readonly<Record<string, number>>;
  /** Makes the loss of a batch, a function of the weights. The loop calls it inside `tf.tidy`. */
  loss(
    batch: readonly LoadedSample[],
    epoch: number,
    step: number,
  ): (parameters: TrainState['parameters']) => LossOutputs;
  /** Learning-rate factor by weight name; absent: 1. */
  readonly learningRateScales?: Readonly<Record<string, number>>;
}

export interface TrainOptions {
  readonly run: string;
  readonly record: RunRecord;
  /** Checkpoint to go on from, or null to begin: what `openRunFolder` returned. */
  readonly checkpoint: string | null;
  readonly datasetHash: string;
  readonly loader: Omit<LoaderOptions, 'badClips' | 'onBadClip'>;
  readonly task: Task;
  /** Weights to start from; called only when there is no checkpoint. The loop owns the result. */
  readonly initialize: () => Record<string, tf.Tensor>;
  readonly parameterNames: readonly string[];
  readonly output: ProgressOutput;
  /** Stops after the step in progress, with a checkpoint. */
  readonly signal?: AbortSignal;
}

export interface TrainResult {
  /** Final weights; the caller disposes them. */
  readonly parameters: Readonly<Record<string, tf.Tensor>>;
  readonly steps: number;
  readonly badClips: Readonly<Record<string, string>>;
  /** False when `signal` stopped the run. */
  readonly finished: boolean;
}

/** Steps of an epoch: whole batches only, one at least. */
export function stepsPerEpoch(clips: number, batchSize: number): number {
  return Math.max(1, Math.floor(clips / batchSize));
}

/**
 * Trains, or goes on training.
 * @throws ConfigError, CheckpointError, DataError, NonFiniteError; the last checkpoint stays valid whatever happens.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { run, record, checkpoint, loader: loaderOptions, task, output } = options;
  const { config } = record;
  const identity = { configHash: configHash(record), datasetHash: options.datasetHash };
  let { state, position } =
    checkpoint === null
      ? begin(options.initialize())
      : loadCheckpoint(checkpoint, options.parameterNames, identity);
  truncateRecords(logFile(run), position.step);
  const log = (event: 'start' | 'bad-clip' | 'checkpoint' | 'end' | 'step', fields: object): void =>
    appendRecord(logFile(run), { event, step: position.step, ...fields });
  const events = createEventFile(run, Date.now() / 1000);
  const loader = new ClipLoader({
    ...loaderOptions,
    badClips: position.badClips,
    onBadClip: (clip, reason) => log('bad-clip', { clip: clip.id, reason }),
  });
  const clips = loaderOptions.clips.length;
  const total = Array.from({ length: config.epochs }, (_, epoch) =>
    stepsPerEpoch(clips, task.batchSize(epoch)),
  ).reduce((a, b) => a + b);
  const save = async (): Promise<void> => {
    const folder = await saveCheckpoint(run, state, position, identity, config.checkpointsKept);
    log('checkpoint', { folder: folder.slice(run.length + 1) });
  };
  log('start', {
    backend: tf.getBackend(),
    clips,
    epochs: config.epochs,
    steps: total,
    resumedFrom: position.step,
  });
  const stopped = (): boolean => options.signal?.aborted ?? false;
  const progress = startProgress(output, record.kind, total);
  try {
    let endMs = performance.now();
    while (position.epoch < config.epochs && !stopped()) {
      for await (const { batch, next } of batchesOfEpoch(loader, task, position, clips)) {
        const startMs = performance.now();
        const waitMs = startMs - endMs;
        const rate = learningRate(
          rateSchedule(config.optimizer, config.epochs),
          rateStep(position, task, clips),
        );
        const result = await oneStep(state, task, batch, position, {
          optimizer: config.optimizer,
          rate,
        });
        state = result.state;
        position = next;
        const figures = {
          ...result.figures,
          learningRate: rate,
          ...task.epochFigures(position.epoch),
        };
        log('step', {
          epoch: position.epoch,
          batch: batch.length,
          elapsedMs: Math.round(performance.now() - startMs),
          waitMs: Math.round(waitMs),
          ...figures,
        });
        events(position.step, Date.now() / 1000, figures);
        progress.update(position.step, describe(figures));
        if (position.step % config.checkpointSteps === 0) await save();
        endMs = performance.now();
        if (stopped()) break;
      }
      const steps = stepsPerEpoch(clips, task.batchSize(position.epoch));
      if (position.stepInEpoch === steps)
        position = { ...position, epoch: position.epoch + 1, stepInEpoch: 0, cursor: 0 };
    }
    const finished = position.epoch === config.epochs;
    if (position.step % config.checkpointSteps !== 0 || finished) await save();
    log('end', { finished });
    progress.end();
    disposeTree([state.firstMoments, state.secondMoments]);
    return {
      parameters: state.parameters,
      steps: position.step,
      badClips: loader.badClips,
      finished,
    };
  } catch (error) {
    disposeTree(state);
    throw error;
  } finally {
    await loader.close();
  }
}

function begin(parameters: Record<string, tf.Tensor>): {
  state: TrainState;
  position: RunPosition;
} {
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, tensor]) => [name, tf.zeros(tensor.shape)]),
    );
  return {
    state: { parameters, firstMoments: zeros(), secondMoments: zeros() },
    position: { step: 0, epoch: 0, stepInEpoch: 0, cursor: 0, badClips: {} },
  };
}

/** The batches left of the epoch in progress, each with the position after it. */
async function* batchesOfEpoch(
  loader: ClipLoader,
  task: Task,
  from: RunPosition,
  clips: number,
): AsyncGenerator<{ batch: LoadedSample[]; next: RunPosition }> {
  const size = Math.min(task.batchSize(from.epoch), clips);
  const steps = stepsPerEpoch(clips, task.batchSize(from.epoch));
  let position = from;
  let batch: LoadedSample[] = [];
  if (position.stepInEpoch === steps) return;
  for await (const { sample, cursor } of loader.epoch(from.epoch, from.cursor)) {
    batch.push(sample);
    if (batch.length < size) continue;
    const { step, stepInEpoch } = position;
    position = {
      ...position,
      step: step + 1,
      stepInEpoch: stepInEpoch + 1,
      cursor,
      badClips: loader.badClips,
    };
    yield { batch, next: position };
    if (position.stepInEpoch === steps) return;
    batch = [];
  }
}

/** The rate is a function of epochs done, so that an adaptive batch size does not bend the schedule. */
function rateSchedule(
  optimizer: OptimizerConfig,
  epochs: number,
): Parameters<typeof learningRate>[0] {
  const { learningRate: peak, minLearningRate, warmupEpochs } = optimizer;
  return {
    kind: 'cosine',
    peak,
    floor: Math.min(minLearningRate, peak),
    warmupSteps: Math.min(warmupEpochs, epochs),
    totalSteps: epochs,
  };
}

function rateStep(position: RunPosition, task: Task, clips: number): number {
  return (
    position.epoch + position.stepInEpoch / stepsPerEpoch(clips, task.batchSize(position.epoch))
  );
}

async function oneStep(
  state: TrainState,
  task: Task,
  batch: readonly LoadedSample[],
  { epoch, step }: RunPosition,
  { optimizer, rate }: { optimizer: OptimizerConfig; rate: number },
): Promise<{ state: TrainState; figures: StepFigures }> {
  return trainStep(state, (parameters) => task.loss(batch, epoch, step)(parameters), {
    step,
    learningRate: rate,
    optimizer,
    clips: batch.map((sample) => sample.clip.id),
    ...(task.learningRateScales === undefined
      ? {}
      : { learningRateScales: task.learningRateScales }),
  });
}

function describe(figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures)
    .filter(([name]) => name === 'loss' || name === 'maskRatio')
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join('  ');
}
