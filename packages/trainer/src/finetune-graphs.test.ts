// SPDX-License-Identifier: Apache-2.0
// Fine-tuning steps as graphs on the emulated device: stochastic depth, masks, mixed targets and learning rates are new in every step, and a
// recorded step follows them.
import { disposeTree, fold, makeKey, normals } from '@diffmavil/core';
import {
  type Modality,
  type ModelConfig,
  defineModel,
  modalities,
  patchValues,
  presets,
  tokenCount,
} from '@diffmavil/model';
import { cudaBackendName, findCuda, registerCuda } from '@diffmavil/native';
import { emulateCuda } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FinetuneConfig, defineFinetune } from './config.ts';
import type { LoadedSample } from './data/loader.ts';
import { initialWeights } from './finetune-model.ts';
import { finetuneTask } from './finetune.ts';
import { type StepOptions, readStep, startStep } from './step.ts';
import { stepGraphs } from './step-graphs.ts';

emulateCuda();
const noDevice = findCuda().devices === 0;
const skipNote = noDevice ? ' (skipped: the emulated device is not built)' : '';

const labels = ['bell', 'drum', 'horn'];
const batch = 3;
const steps = 8;

const model = defineModel({
  ...presets.tiny,
  audio: { frames: 32, mels: 16, patch: 8 },
  video: { frames: 4, size: 16, tubelet: 2, patch: 8 },
  encoder: { ...presets.tiny.encoder, classToken: true },
  decoder: { ...presets.tiny.decoder, audioAttention: 'global' },
});

const configOf = (partial: object): FinetuneConfig =>
  defineFinetune({
    model,
    dropPath: 0.5,
    masking: { time: 0.25, frequency: 0.5, video: 0.25 },
    labelSmoothing: 0.1,
    ...partial,
  });

/** A clip of step `step` with patches, a label and, every other time, another clip mixed in, all its own. */
function sampleOf(config: ModelConfig, step: number, number: number): LoadedSample {
  const key = fold(makeKey(3), step, number);
  const clip = (i: number): LoadedSample['clip'] => ({
    id: `clip-${step}-${i}`,
    path: '',
    labels: [labels[i % 3]!],
    split: null,
  });
  const patches = (m: Modality): Float32Array | null =>
    modalities(config).includes(m)
      ? normals(fold(key, m), tokenCount(config, m) * patchValues(config, m))
      : null;
  const weight = 0.5 + 0.4 / (step + 1);
  return {
    clip: clip(step + number),
    key,
    mix: (step + number) % 2 === 0 ? null : { clip: clip(step + number + 1), weight },
    audioPatches: patches('audio'),
    videoPatches: patches('video'),
  };
}

/** Names of tensors whose bits are not the same. */
function differing(a: Values, b: Values): string[] {
  return Object.keys({ ...a, ...b }).filter((name) => {
    const [x = new Float32Array(), y = new Float32Array()] = [a[name], b[name]];
    return x.length === 0 || Buffer.compare(bytes(x), bytes(y)) !== 0;
  });
}

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

type Values = Readonly<Record<string, Float32Array>>;

/** Figures of each step, and weights and first moments after them. */
async function train(
  config: FinetuneConfig,
  graphs: ReturnType<typeof stepGraphs>,
): Promise<{ losses: number[]; values: Values }> {
  const task = finetuneTask(config, labels);
  const parameters = initialWeights(config, labels.length, null);
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(Object.entries(parameters).map(([name, x]) => [name, tf.zeros(x.shape)]));
  let state: Parameters<typeof startStep>[0] = {
    parameters,
    firstMoments: zeros(),
    secondMoments: zeros(),
  };
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const samples = Array.from({ length: batch }, (_, i) => sampleOf(config.model, step, i));
    const prepared = task.prepare(samples, 0, step);
    const options: StepOptions = {
      step,
      learningRate: 1e-3 / (step + 1),
      optimizer: config.optimizer,
      learningRateScales: task.learningRateScales!,
      clips: [],
    };
    const started =
      graphs?.start(state, prepared, options) ??
      startStep(state, (weights) => prepared.loss(weights, prepared.tensors), options);
    const done = await readStep(started, options);
    disposeTree(prepared.tensors);
    state = done.state;
    losses.push(done.figures.loss, done.figures.gradientNorm);
  }
  const values: Record<string, Float32Array> = {};
  for (const part of ['parameters', 'firstMoments'] as const) {
    for (const [name, tensor] of Object.entries(state[part]))
      values[`${part}.${name}`] = (await tensor.data()) as Float32Array;
  }
  disposeTree(state);
  return { losses, values };
}

describe.skipIf(noDevice)(`fine-tuning steps as graphs${skipNote}`, () => {
  beforeEach(async () => {
    // A kernel that is handed to the processor cannot be recorded.
    process.env['DIFFMAVIL_STRICT'] = '1';
    registerCuda();
    await tf.setBackend(cudaBackendName);
  });
  afterEach(() => {
    delete process.env['DIFFMAVIL_STRICT'];
  });

  it.each([
    { modality: 'audio', task: 'multi-label', checkpointing: true },
    { modality: 'video', precision: 'bfloat16' },
    { modality: 'both', fusion: { kind: 'joint', depth: 1 }, videoLearningRate: 0.5 },
    { modality: 'both', fusion: { kind: 'bottleneck', bottlenecks: 2 }, loss: 'sigmoid' },
  ])('have the bits of plain steps: %j', async (partial) => {
    const config = configOf(partial);
    const plain = await train(config, null);
    const { numTensors } = tf.memory();
    const graphs = stepGraphs()!;
    const captured = await train(config, graphs);
    expect(captured.losses).toEqual(plain.losses);
    expect(differing(captured.values, plain.values)).toEqual([]);
    expect(new Set(plain.losses).size).toBe(2 * steps);
    expect(graphs.counts).toEqual({ plain: 1, recorded: 1, replayed: 4 });
    graphs.dispose();
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});
