// SPDX-License-Identifier: Apache-2.0
// Pre-training as a run does it: other clips, new masks, timesteps and noise in every step, patches uploaded, losses read. Clips are windows of one
// signal, so that there is something to learn and nothing to decode; batches of them are made beforehand and take turns, as putting 600 MB in order is
// the work of a loader's threads.
import { fold, makeKey, normals } from '@diffmavil/core';
import type { Precision } from '@diffmavil/core';
import {
  initializeParameters,
  modalities,
  patchValues,
  presets,
  tokenCount,
} from '@diffmavil/model';
import type { Modality, ModalityInput, ModelConfig, PresetName } from '@diffmavil/model';
import { delegatedKernels } from '@diffmavil/native';
import { readStep, stepStarter } from '@diffmavil/trainer';
import type { GraphChoice, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from '../backends.ts';
import { drawInput } from '../curriculum.ts';
import { prepared, pretrainLoss } from '../pretrain-loss.ts';
import { loadedLibrary } from '../resident-memory.ts';
import { median, quantile } from '../rounds.ts';
import { stepFlops } from '../step-flops.ts';
import { optimizer, trainerOptimizer } from '../step-setup.ts';
import { startWaitTimer } from '../wait-timer.ts';
import { modelUnits } from './rows.ts';
import type { Row, Suite, SuiteOptions } from './rows.ts';

const maskRatio = 0.8;
const batchesMade = 4;

export const training: Suite = {
  plan: (options) =>
    modelUnits(options).map(({ preset, precision }) => ({
      suite: 'training',
      rows: [rowName(preset, precision, options)],
      limitSeconds: 240,
      strict: true,
      preset,
      precision,
    })),

  async run({ preset = 'small', precision = 'float32' }, options, report) {
    await useBackend(options.backend, options.threads);
    report(await trainingRow(preset, precision, options));
  },
};

function rowName(preset: PresetName, precision: Precision, options: SuiteOptions): string {
  return `${preset} ${precision}, ${options.steps} steps of ${batchOf(precision, options)} clips`;
}

/** In float32 products take about ten times as long. */
function batchOf(precision: Precision, { emulated }: SuiteOptions): number {
  if (emulated) return 2;
  return precision === 'float32' ? 16 : 64;
}

interface StepFigures {
  readonly loss: number;
  /** Making the batch and handing it to the backend. */
  readonly inputMs: number;
  readonly stepMs: number;
  /** Of the step, without the wait for its results and the next batch. */
  readonly hostMs: number;
}

async function trainingRow(
  preset: PresetName,
  precision: Precision,
  options: SuiteOptions,
): Promise<Omit<Row, 'suite'>> {
  const config = presets[preset];
  const batch = batchOf(precision, options);
  const run = startRun(config, precision, batch);
  // What the first step allocates, and caches of kernels and products.
  await run.step();
  const tensorsBefore = tf.memory().numTensors;
  const start = performance.now();
  const steps: StepFigures[] = [];
  for (let i = 0; i < options.steps; i++) steps.push(await run.step());
  const seconds = (performance.now() - start) / 1000;
  const extraTensors = tf.memory().numTensors - tensorsBefore;
  const { unreliable: _, ...memory } = tf.memory();
  const graphs = run.choice();
  run.dispose();

  const losses = steps.map(({ loss }) => loss);
  const tenth = Math.ceil(losses.length / 10);
  const [first, last] = [mean(losses.slice(0, tenth)), mean(losses.slice(-tenth))];
  const finite = losses.every(Number.isFinite);
  const falls = losses.length === 1 || last < first;
  const stepMs = steps.map((step) => step.stepMs);
  const flops = stepFlops(config, batch, maskRatio);
  const figures = {
    clipsPerSecond: (batch * options.steps) / seconds,
    stepMs: { median: median(stepMs), p10: quantile(stepMs, 0.1), p90: quantile(stepMs, 0.9) },
    inputMs: { median: median(steps.map(({ inputMs }) => inputMs)) },
    graphs,
    hostShare: sum(steps.map(({ hostMs }) => hostMs)) / sum(stepMs),
    flops,
    mfu: mfuOf(flops, median(stepMs), precision, options),
    memory,
    cublasLt: loadedLibrary('libcublasLt'),
    extraTensors,
    delegatedKernels: delegatedKernels(),
    loss: { first, last },
    losses,
  };
  const name = rowName(preset, precision, options);
  if (finite && falls && extraTensors === 0) return { name, state: 'passed', figures };
  const reason = `expected finite losses that fall and no tensors left, got ${first} to ${last} and ${extraTensors} tensors`;
  return { name, state: 'failed', reason, figures };
}

/** Share of the data sheet's operations, 0..1; null where nothing is timed or the device is not known. */
export function mfuOf(
  flops: number,
  stepMs: number,
  precision: Precision,
  { emulated, peak }: Pick<SuiteOptions, 'emulated' | 'peak'>,
): number | null {
  return emulated || peak === null ? null : flops / (stepMs / 1000) / peak[precision];
}

interface Run {
  readonly step: () => Promise<StepFigures>;
  /** Whether steps are graphs, once that is decided. */
  readonly choice: () => GraphChoice | null;
  readonly dispose: () => void;
}

function startRun(config: ModelConfig, precision: Precision, batch: number): Run {
  const parameters = initializeParameters(config, makeKey(1));
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, { shape }]) => [name, tf.zeros(shape)]),
    );
  let state: TrainState = { parameters, firstMoments: zeros(), secondMoments: zeros() };
  let step = 0;
  const clips = Object.fromEntries(modalities(config).map((m) => [m, clipMaker(config, m, batch)]));
  const timer = startWaitTimer();
  const loss = pretrainLoss(config, maskRatio, precision);
  let choice: GraphChoice | null = null;
  const starter = stepStarter((made) => (choice = made));

  const makeInputs = (): Record<string, ModalityInput> => {
    const key = fold(makeKey(2), step);
    return Object.fromEntries(
      modalities(config).map((m) => {
        const own = fold(key, m);
        return [m, { patches: clips[m]!(step), ...drawInput(config, m, maskRatio, batch, own) }];
      }),
    );
  };
  let inputs = makeInputs();

  return {
    // As the trainer's loop: the next batch is made while the device computes.
    step: async () => {
      const begun = performance.now();
      const waited = timer.waitedMs();
      const { learningRate } = optimizer;
      const how = { step, learningRate, optimizer: trainerOptimizer, clips: [] };
      const finished = readStep(starter.start(state, prepared(inputs, loss), how), how);
      tf.dispose(inputs as unknown as tf.TensorContainer);
      step++;
      const started = performance.now();
      inputs = makeInputs();
      const inputMs = performance.now() - started;
      const done = await finished;
      const stepMs = performance.now() - begun;
      starter.took(stepMs);
      state = done.state;
      const hostMs = stepMs - inputMs - (timer.waitedMs() - waited);
      return { loss: done.figures.loss, inputMs, stepMs, hostMs };
    },
    choice: () => choice,
    dispose: () => {
      timer.stop();
      starter.dispose();
      tf.dispose([state, inputs] as unknown as tf.TensorContainer);
    },
  };
}

/** Makes patches [batch, tokens, values] for a step: each clip is a window, somewhere, of three sines and a little noise, as long as two clips. */
function clipMaker(config: ModelConfig, m: Modality, batch: number): (step: number) => tf.Tensor3D {
  const [tokens, values] = [tokenCount(config, m), patchValues(config, m)];
  const size = tokens * values;
  const signal = normals(fold(makeKey(4), m), 2 * size);
  for (const [i, noise] of signal.entries()) {
    // Periods within a patch and across some: no two are multiples of each other.
    signal[i] = 0.1 * noise + Math.sin(i / 7) + Math.sin(i / 61) + Math.sin(i / (3.3 * values));
  }
  const pool = Array.from({ length: batchesMade }, (_, i) => {
    const patches = new Float32Array(batch * size);
    for (let clip = 0; clip < batch; clip++) {
      const [draw = 0] = normals(fold(makeKey(4), m, 'window', i, clip), 1);
      const begin = Math.floor(size * (0.5 + 0.5 * Math.tanh(draw)));
      patches.set(signal.subarray(begin, begin + size), clip * size);
    }
    return patches;
  });
  return (step) => tf.tensor3d(pool[step % batchesMade]!, [batch, tokens, values]);
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
