// SPDX-License-Identifier: Apache-2.0
// Steps as graphs on the emulated device; and which way is kept, with a backend that only counts.
import { DeviceError, fold, linear, makeKey, normals } from '@diffmavil/core';
import { cudaBackendName, findCuda, registerCuda } from '@diffmavil/native';
import { devices, emulateCuda } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OptimizerConfig } from './config.ts';
import { type NonFiniteError, type StepOptions, readStep, startStep } from './step.ts';
import { type GraphChoice, type PreparedBatch, stepGraphs, stepStarter } from './step-graphs.ts';

emulateCuda();
const noDevice = findCuda().devices === 0;
const skipNote = noDevice ? ' (skipped: the emulated device is not built)' : '';

const optimizer: OptimizerConfig = {
  learningRate: 0.01,
  minLearningRate: 0,
  warmupEpochs: 0,
  weightDecay: 0.05,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  clipNorm: 1,
  layerDecay: 1,
};

type State = Parameters<typeof startStep>[0];

const drawn = (name: string, shape: [number, number]): tf.Tensor2D =>
  tf.tensor2d(normals(fold(makeKey(7), name), shape[0] * shape[1]), shape);

/** A linear map of 20 inputs to 3 outputs. The bias is one that JavaScript keeps to itself until it is first updated. */
function newState(): State {
  const parameters = { 'a.weight': drawn('weight', [3, 20]), 'a.bias': tf.zeros([3]) };
  const zeros = (): Record<string, tf.Tensor> => ({
    'a.weight': tf.zeros([3, 20]),
    'a.bias': tf.zeros([3]),
  });
  return { parameters, firstMoments: zeros(), secondMoments: zeros() };
}

interface Batch {
  readonly audio: { readonly x: tf.Tensor; readonly drop: null };
}

/** The mean square of what the map makes of some rows of its own, and the largest of them. */
function batchOf(step: number, rows: number, faulty = false): PreparedBatch<Batch> {
  const x = drawn(`step ${step}`, [rows, 20]);
  return {
    tensors: { audio: { x: faulty ? tf.div(x, 0) : x, drop: null } },
    loss: (parameters, { audio }) => {
      const y = linear(audio.x, parameters['a.weight']!, parameters['a.bias']!);
      return { loss: tf.mean(tf.square(y)), most: tf.max(y) };
    },
    key: 'one',
  };
}

const optionsOf = (step: number): StepOptions => ({
  step,
  learningRate: 0.01 / (step + 1),
  optimizer,
  clips: [`clip-${step}`],
});

/** Figures of ten steps and the weights after them; the batch gets smaller after six. */
async function train(graphs: ReturnType<typeof stepGraphs>): Promise<unknown[]> {
  let state = newState();
  const all: unknown[] = [];
  for (let step = 0; step < 10; step++) {
    const batch = batchOf(step, step < 6 ? 8 : 4);
    const options = optionsOf(step);
    const started =
      graphs?.start(state, batch, options) ??
      startStep(state, (parameters) => batch.loss(parameters, batch.tensors), options);
    const done = await readStep(started, options);
    tf.dispose(batch.tensors.audio.x);
    state = done.state;
    all.push(done.figures);
  }
  const records = [state.parameters, state.firstMoments, state.secondMoments];
  for (const tensor of records.flatMap((record) => Object.values(record)))
    all.push(await tensor.data());
  tf.dispose(records);
  return all;
}

describe.skipIf(noDevice)(`stepGraphs${skipNote}`, () => {
  beforeEach(async () => {
    registerCuda();
    await tf.setBackend(cudaBackendName);
  });

  it('gives the bits of plain steps, with other batches, rates and shapes', async () => {
    const plain = await train(null);
    const { numTensors } = tf.memory();
    const graphs = stepGraphs()!;
    const captured = await train(graphs);
    expect(captured).toEqual(plain);
    expect(new Set(plain.slice(0, 10).map((figures) => JSON.stringify(figures))).size).toBe(10);
    // Two to see that AdamW works in place, which `counts` leaves out; of 8 rows 1, 1 and 2; of 4 rows 1, 1 and 2.
    expect(graphs.counts).toEqual({ plain: 2, recorded: 2, replayed: 4 });
    graphs.dispose();
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('leaves the weights alone where a replayed step is not finite', async () => {
    const graphs = stepGraphs()!;
    let state = newState();
    for (let step = 0; step < 5; step++) {
      const batch = batchOf(step, 8);
      state = (await readStep(graphs.start(state, batch, optionsOf(step)), optionsOf(step))).state;
      tf.dispose(batch.tensors.audio.x);
    }
    const before = await state.parameters['a.weight']!.data();
    const faulty = batchOf(5, 8, true);
    const error: unknown = await readStep(
      graphs.start(state, faulty, optionsOf(5)),
      optionsOf(5),
    ).catch((fault: unknown) => fault);
    expect(graphs.counts.replayed).toBe(2);
    expect((error as NonFiniteError).message).toContain('with the clips clip-5');
    expect(await (error as NonFiniteError).state.parameters['a.weight']!.data()).toEqual(before);
    const next = batchOf(6, 8);
    const { figures } = await readStep(graphs.start(state, next, optionsOf(6)), optionsOf(6));
    expect(figures.loss).toBeGreaterThan(0);
    graphs.dispose();
  });
});

/** A backend's `captureSteps` that calls the function every time and says that all but two calls a key were replays. */
function pretendToRecord(problem: Error | null = null): { disposed: number; called: number } {
  const seen = { disposed: 0, called: 0 };
  const captureSteps = (f: (inputs: object, how: unknown) => object): object => {
    const counts = { plain: 0, recorded: 0, replayed: 0 };
    const call = (inputs: object, how: unknown): object => {
      seen.called++;
      if (counts.plain === 0) counts.plain++;
      else if (problem !== null) throw problem;
      else if (counts.recorded === 0) counts.recorded++;
      else counts.replayed++;
      return f(inputs, how);
    };
    const dispose = (): void => {
      seen.disposed++;
      Object.assign(counts, { plain: 0, recorded: 0 });
    };
    return Object.assign(call, { counts, dispose });
  };
  Object.assign(tf.backend(), { captureSteps });
  return seen;
}

// Only a native backend updates in place.
describe.skipIf(noDevice)(`stepStarter${skipNote}`, () => {
  let choices: GraphChoice[];
  let state: State;
  let step: number;
  let plainCapture: unknown;
  beforeEach(async () => {
    registerCuda();
    await tf.setBackend(cudaBackendName);
    plainCapture = (tf.backend() as { captureSteps?: unknown }).captureSteps;
    choices = [];
    state = newState();
    step = 0;
  });
  afterEach(() => {
    Object.assign(tf.backend(), { captureSteps: plainCapture });
    tf.dispose([state.parameters, state.firstMoments, state.secondMoments]);
  });

  /** Steps that take `ms` of how often a graph was called before. */
  async function steps(
    count: number,
    starter: ReturnType<typeof stepStarter>,
    ms: () => number,
    key: string | null = 'one',
  ): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { key: _, ...plain } = batchOf(step, 8);
      const batch = key === null ? plain : { ...plain, key };
      const started = starter.start(state, batch, optionsOf(step));
      ({ state } = await readStep(started, optionsOf(step)));
      starter.took(ms());
      tf.dispose(batch.tensors.audio.x);
      step++;
    }
  }

  it.each([
    { replayMs: 7, kept: true },
    { replayMs: 10, kept: false },
    { replayMs: 30, kept: false },
  ])(
    'keeps graphs where a replay is faster: $replayMs ms beside 10',
    async ({ replayMs, kept }) => {
      const seen = pretendToRecord();
      const starter = stepStarter((choice) => choices.push(choice));
      // 7 plain; one to see that AdamW works in place, one plain and one recorded; 7 replayed.
      await steps(16, starter, () => (seen.called > 2 ? replayMs : 10));
      expect(choices).toEqual([]);
      await steps(1, starter, () => replayMs);
      expect(choices).toEqual([{ plainMs: 10, replayedMs: replayMs, kept }]);
      const { called } = seen;
      await steps(3, starter, () => 1000);
      expect(seen.called - called).toBe(kept ? 3 : 0);
      expect(seen.disposed).toBe(1 + (kept ? 0 : 1));
      expect(choices).toHaveLength(1);
      starter.dispose();
    },
  );

  it('compares steps of one key only', async () => {
    const seen = pretendToRecord();
    const starter = stepStarter((choice) => choices.push(choice));
    await steps(12, starter, () => 10, 'large');
    await steps(7, starter, () => 5, 'small');
    // Nothing of the large ones counts: replays at 8 ms do not pay beside 5.
    await steps(9, starter, () => (seen.called > 0 ? 8 : 5), 'small');
    expect(choices).toEqual([{ plainMs: 5, replayedMs: 8, kept: false }]);
    starter.dispose();
  });

  it('goes on op by op where the memory of a graph is not there', async () => {
    const seen = pretendToRecord(new DeviceError('no memory'));
    const starter = stepStarter((choice) => choices.push(choice));
    await steps(20, starter, () => 10);
    expect(choices).toEqual([{ plainMs: 10, replayedMs: null, kept: false, problem: 'no memory' }]);
    expect(seen.called).toBe(2);
    starter.dispose();
  });

  it('does not record a batch without a key', async () => {
    const seen = pretendToRecord();
    const starter = stepStarter((choice) => choices.push(choice));
    await steps(12, starter, () => 10, null);
    expect(seen.called).toBe(0);
    starter.dispose();
  });
});

describe('stepGraphs elsewhere', () => {
  it('is null on a backend that cannot record', async () => {
    await devices[0]!.use();
    expect(stepGraphs()).toBeNull();
  });
});
