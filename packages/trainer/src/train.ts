// SPDX-License-Identifier: Apache-2.0
// The loop, shared by pre-training and fine-tuning: epochs of batches, one step each, a log line each, checkpoints, exact resume.
// What is trained is a `Task`; the loop knows neither model nor loss.
import { disposeTree, tensorsIn } from '@diffmavil/core';
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
import { NonFiniteError, type StepFigures, type StepOptions, readStep } from './step.ts';
import { type PreparedBatch, type StepStarter, stepStarter } from './step-graphs.ts';
import { createEventFile } from './tensorboard.ts';

/** What the loop trains. */
export interface Task {
  /** Samples a step in an epoch. */
  batchSize(epoch: number): number;
  /** Figures that stand for a whole epoch, logged with each step: the mask ratio, for one. */
  epochFigures(epoch: number): Readonly<Record<string, number>>;
  /** Makes the tensors of a batch, on a device while it still computes the step before. */
  prepare(batch: readonly LoadedSample[], epoch: number, step: number): PreparedBatch;
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
    session.starter.dispose();
    await session.loader.close();
  }
}

/** A run in progress. */
interface Session {
  readonly options: TrainOptions;
  readonly identity: CheckpointIdentity;
  readonly loader: ClipLoader;
  readonly progress: Progress;
  readonly starter: StepStarter;
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
    starter: stepStarter((choice) => session.log('graphs', choice)),
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
  const { loader, options } = session;
  const { task } = options;
  const clips = options.loader.clips.length;
  const { epoch } = session.position;
  const batches = batchesOfEpoch(loader, task, session.position, clips);
  // Of the next step, where a device computed this one meanwhile.
  let coming: ReturnType<typeof batches.next> | null = null;
  let ahead: PreparedBatch | null = null;
  let endMs = performance.now();
  try {
    for (;;) {
      const { value, done } = await (coming ?? batches.next());
      coming = null;
      if (done === true) break;
      const startMs = performance.now();
      const rate = rateNow(session);
      const step = startStep(session, value, ahead ?? prepare(task, value), rate);
      ahead = null;
      if (computesBeside()) {
        coming = handled(batches.next());
        ahead = await prepareAhead(task, coming, handled(step));
      }
      const result = await step;
      session.state = result.state;
      session.position = value.next;
      const waitMs = startMs - endMs;
      endMs = performance.now();
      session.starter.took(endMs - startMs);
      logStep(session, value, { ...result.figures, learningRate: rate }, endMs - startMs, waitMs);
      if (value.next.step % options.record.config.checkpointSteps === 0) await save(session);
      if (session.stopped()) break;
    }
  } finally {
    disposeTree(ahead?.tensors);
    await coming?.catch(() => undefined);
    await batches.return(undefined);
  }
  if (session.position.stepInEpoch === stepsPerEpoch(clips, task.batchSize(epoch)))
    session.position = { ...session.position, epoch: epoch + 1, stepInEpoch: 0, cursor: 0 };
}

/** The next batch with its tensors, if it is there before the step is over. What fails is told where it is waited for. */
async function prepareAhead(
  task: Task,
  coming: Promise<IteratorResult<NextBatch>>,
  step: Promise<unknown>,
): Promise<PreparedBatch | null> {
  const following = await Promise.race([coming, step.then(() => null)]).catch(() => null);
  if (following === null || following.done === true) return null;
  const prepared = prepare(task, following.value);
  (tf.backend() as AsynchronousBackend).prefetch?.(tensorsIn(prepared.tensors));
  return prepared;
}

/** A backend that computes while this thread goes on has a way to bring tensors there beforehand. */
type AsynchronousBackend = tf.KernelBackend & {
  readonly prefetch?: (tensors: Iterable<tf.Tensor>) => void;
};

function computesBeside(): boolean {
  return (tf.backend() as AsynchronousBackend).prefetch !== undefined;
}

/** The promise; its failure is not one that nobody looks at, as it is waited for later. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

function prepare(task: Task, { batch, next }: NextBatch): PreparedBatch {
  return task.prepare(batch, next.epoch, next.step - 1);
}

function logStep(
  session: Session,
  { batch, next }: NextBatch,
  stepFigures: StepFigures,
  elapsedMs: number,
  waitMs: number,
): void {
  const { epoch } = next;
  const figures = { ...stepFigures, ...session.options.task.epochFigures(epoch) };
  const times = { elapsedMs: Math.round(elapsedMs), waitMs: Math.round(waitMs) };
  session.log('step', { epoch, batch: batch.length, ...times, ...figures });
  session.plot(next.step, figures);
  session.progress.update(next.step, describe(figures));
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

interface NextBatch {
  readonly batch: readonly LoadedSample[];
  /** The position after it. */
  readonly next: RunPosition;
}

/** The batches left of the epoch in progress. */
async function* batchesOfEpoch(
  loader: ClipLoader,
  task: Task,
  from: RunPosition,
  clips: number,
): AsyncGenerator<NextBatch, undefined> {
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

/** The learning rate of the step that comes. */
function rateNow({ options, position }: Session): number {
  const { config } = options.record;
  const { epoch, stepInEpoch } = position;
  const steps = stepsPerEpoch(options.loader.clips.length, options.task.batchSize(epoch));
  return learningRate(rateSchedule(config.optimizer, config.epochs), epoch + stepInEpoch / steps);
}

/** Starts a step; the promise is of its figures. The batch's tensors are disposed. */
function startStep(
  { state, starter, options }: Session,
  { batch, next }: NextBatch,
  prepared: PreparedBatch,
  learningRate: number,
): Promise<{ state: TrainState; figures: StepFigures }> {
  const { task, record } = options;
  const { learningRateScales } = task;
  const how: StepOptions = {
    step: next.step - 1,
    learningRate,
    optimizer: record.config.optimizer,
    clips: batch.map((sample) => sample.clip.id),
    ...(learningRateScales && { learningRateScales }),
  };
  try {
    return readStep(starter.start(state, prepared, how), how);
  } finally {
    disposeTree(prepared.tensors);
  }
}

function describe(figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures)
    .filter(([name]) => name === 'loss' || name === 'maskRatio')
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join('  ');
}
