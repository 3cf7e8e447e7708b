// SPDX-License-Identifier: Apache-2.0
// The loop, shared by pre-training and fine-tuning: epochs of batches, one step each, a log line each, checkpoints, exact resume.
// What is trained is a `Task`; the loop knows neither model nor loss.
import { disposeTree } from '@diffmavil/core';
import { learningRate } from '@diffmavil/schedulers';
import * as tf from '@tensorflow/tfjs-core';
import {
  type CheckpointIdentity,
  type RunPosition,
  type TrainState,
  loadCheckpoint,
  saveCheckpoint,
} from './checkpoint.ts';
import type { OptimizerConfig } from './config.ts';
import { ClipLoader, type LoadedSample, type LoaderOptions } from './data/loader.ts';
import { type LogRecord, appendRecord, truncateRecords } from './json-lines.ts';
import { type Progress, type ProgressOutput, startProgress } from './progress.ts';
import { type RunRecord, configHash, logFile } from './run-folder.ts';
import { type LossOutputs, NonFiniteError, type StepFigures, trainStep } from './step.ts';
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
  const session = openSession(options);
  try {
    const { epochs } = options.record.config;
    while (session.position.epoch < epochs && !session.stopped()) await trainEpoch(session);
    const { position, state } = session;
    const finished = position.epoch === epochs;
    await save(session);
    session.log('end', { finished });
    session.progress.end();
    disposeTree([state.firstMoments, state.secondMoments]);
    const { badClips } = session.loader;
    return { parameters: state.parameters, steps: position.step, badClips, finished };
  } catch (error) {
    disposeTree(error instanceof NonFiniteError ? error.state : session.state);
    throw error;
  } finally {
    await session.loader.close();
  }
}

/** A run in progress. */
interface Session {
  readonly options: TrainOptions;
  readonly identity: CheckpointIdentity;
  readonly loader: ClipLoader;
  readonly progress: Progress;
  state: TrainState;
  position: RunPosition;
  /** Step of the newest checkpoint, or null. */
  savedStep: number | null;
  log(event: LogRecord['event'], fields: object): void;
  plot(step: number, figures: StepFigures): void;
  stopped(): boolean;
}

function openSession(options: TrainOptions): Session {
  const { run, record, checkpoint, task, output, signal } = options;
  const { epochs } = record.config;
  const clips = options.loader.clips.length;
  const identity = { configHash: configHash(record), datasetHash: options.datasetHash };
  const { state, position } =
    checkpoint === null
      ? begin(options.initialize())
      : loadCheckpoint(checkpoint, options.parameterNames, identity);
  truncateRecords(logFile(run), position.step);
  const steps = Array.from({ length: epochs }, (_, epoch) =>
    stepsPerEpoch(clips, task.batchSize(epoch)),
  ).reduce((a, b) => a + b);
  const events = createEventFile(run, Date.now() / 1000);
  const session: Session = {
    options,
    identity,
    state,
    position,
    savedStep: checkpoint === null ? null : position.step,
    loader: new ClipLoader({
      ...options.loader,
      badClips: position.badClips,
      onBadClip: (clip, reason) => session.log('bad-clip', { clip: clip.id, reason }),
    }),
    progress: startProgress(output, record.kind, steps),
    log: (event, fields) =>
      appendRecord(logFile(run), { event, step: session.position.step, ...fields }),
    plot: (step, figures) => events(step, Date.now() / 1000, figures),
    stopped: () => signal?.aborted ?? false,
  };
  session.log('start', {
    backend: tf.getBackend(),
    clips,
    epochs,
    steps,
    resumedFrom: position.step,
  });
  return session;
}

/** What is left of the epoch in progress, or of it until the run is stopped. */
async function trainEpoch(session: Session): Promise<void> {
  const { loader, progress, options } = session;
  const { config } = options.record;
  const { task } = options;
  const clips = options.loader.clips.length;
  const { epoch } = session.position;
  let endMs = performance.now();
  for await (const { batch, next } of batchesOfEpoch(loader, task, session.position, clips)) {
    const startMs = performance.now();
    const waitMs = startMs - endMs;
    const rate = learningRate(
      rateSchedule(config.optimizer, config.epochs),
      rateStep(session.position, task, clips),
    );
    const result = await oneStep(session, batch, rate);
    session.state = result.state;
    session.position = next;
    endMs = performance.now();
    const figures = { ...result.figures, learningRate: rate, ...task.epochFigures(epoch) };
    const times = { elapsedMs: Math.round(endMs - startMs), waitMs: Math.round(waitMs) };
    session.log('step', { epoch, batch: batch.length, ...times, ...figures });
    session.plot(next.step, figures);
    progress.update(next.step, describe(figures));
    if (next.step % config.checkpointSteps === 0) await save(session);
    if (session.stopped()) break;
  }
  if (session.position.stepInEpoch === stepsPerEpoch(clips, task.batchSize(epoch)))
    session.position = { ...session.position, epoch: epoch + 1, stepInEpoch: 0, cursor: 0 };
}

/** Writes a checkpoint of this step unless there is one. */
async function save(session: Session): Promise<void> {
  const { options, state, position, identity } = session;
  if (session.savedStep === position.step) return;
  const { run, record } = options;
  const folder = await saveCheckpoint(
    run,
    state,
    position,
    identity,
    record.config.checkpointsKept,
  );
  session.savedStep = position.step;
  session.log('checkpoint', { folder: folder.slice(run.length + 1) });
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
  { state, position, options }: Session,
  batch: readonly LoadedSample[],
  rate: number,
): Promise<{ state: TrainState; figures: StepFigures }> {
  const { task, record } = options;
  const { epoch, step } = position;
  return trainStep(state, task.loss(batch, epoch, step), {
    step,
    learningRate: rate,
    optimizer: record.config.optimizer,
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
