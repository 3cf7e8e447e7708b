// SPDX-License-Identifier: Apache-2.0
// End to end against PyTorch: ten AdamW steps of a tiny model on given clips, masks, timesteps and noise, in float32 here and
// float64 there. Every loss and gradient norm of each step, and the norm of each weight at the end, within 1e-5 relative (cpu and
// wasm are within 5e-7 by step 10, as PyTorch in float32 is; a decay or a moment done wrong is off by more than 1e-4).
import { adamwUpdate, disposeTree, globalNorm, valueAndGrads } from '@diffmavil/core';
import {
  type Modality,
  type ModalityInput,
  type ModelConfig,
  type PartialModelConfig,
  defineModel,
  modalities,
  pretrainForward,
} from '@diffmavil/model';
import { type LearningRateSchedule, learningRate } from '@diffmavil/schedulers';
import { devices, expectNoLeak, readFixture, readJsonFixture } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

const bound = 1e-5;

interface Optimizer {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
  readonly learningRate: LearningRateSchedule;
}

type Settings = PartialModelConfig & {
  readonly maskRatio: number;
  readonly optimizer: Optimizer;
  readonly decayed: readonly string[];
};

type Figures = Readonly<Record<string, number>>;

interface Golden {
  readonly steps: readonly Figures[];
  readonly weightNorms: Figures;
}

const { maskRatio, optimizer, decayed, ...partial } = readJsonFixture(
  'diffmavil/training.config.json',
) as Settings;
const golden = readJsonFixture('diffmavil/training.out.json') as Golden;
const fixture = readFixture('diffmavil/training.in.safetensors');
const config: ModelConfig = defineModel(partial);
const names = Object.keys(golden.weightNorms);

type State = Pick<
  Parameters<typeof adamwUpdate>[0],
  'parameters' | 'firstMoments' | 'secondMoments'
>;

function initialState(): State {
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(names.map((name) => [name, tf.zeros(fixture.get(name).shape)]));
  return {
    parameters: Object.fromEntries(names.map((name) => [name, fixture.tensor(name)])),
    firstMoments: zeros(),
    secondMoments: zeros(),
  };
}

function inputsOf(step: number): Partial<Record<Modality, ModalityInput>> {
  const inputOf = (m: Modality): ModalityInput => ({
    patches: fixture.tensor(`batch.${step % 2}.${m}.patches`),
    order: fixture.tensor(`step.${step}.${m}.order`),
    timesteps: fixture.get(`step.${step}.${m}.timestep`).data,
    noise: { values: fixture.tensor(`step.${step}.${m}.noise`) },
  });
  return Object.fromEntries(modalities(config).map((m) => [m, inputOf(m)]));
}

interface StepOptions {
  readonly step: number;
  /** Names of the weights that decay. */
  readonly decaying: readonly string[];
}

function trainStep(
  state: State,
  { step, decaying }: StepOptions,
): { state: State; figures: Figures } {
  const inputs = inputsOf(step);
  const { outputs, grads } = valueAndGrads(
    () => pretrainForward(config, state.parameters, inputs, maskRatio),
    state.parameters,
  );
  const norm = globalNorm(grads);
  const figures = {
    loss: valueOf(outputs.loss),
    'loss.audio': valueOf(outputs.audioLoss),
    'loss.video': valueOf(outputs.videoLoss),
    'loss.inter': valueOf(outputs.interLoss),
    'loss.intra': valueOf(outputs.intraLoss),
    learningRate: learningRate(optimizer.learningRate, step),
    gradientNorm: valueOf(norm),
  };
  const { beta1, beta2, epsilon, weightDecay, maxGradientNorm } = optimizer;
  const undecayed = names.filter((name) => !decaying.includes(name));
  const next = adamwUpdate(
    { ...state, gradients: grads },
    {
      learningRate: figures.learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      step: step + 1,
      gradientScale: Math.min(1, maxGradientNorm / (figures.gradientNorm + 1e-6)),
      perParameter: Object.fromEntries(undecayed.map((name) => [name, { weightDecay: 0 }])),
    },
  );
  disposeTree([inputs, outputs, grads, norm]);
  return { state: next, figures };
}

/** Figures of each step, then the norms of the weights. */
function train(decaying: readonly string[]): Figures[] {
  let state = initialState();
  const figures = golden.steps.map((_, step) => {
    const after = trainStep(state, { step, decaying });
    ({ state } = after);
    return after.figures;
  });
  const norms = Object.entries(state.parameters).map(([name, weight]) => [
    name,
    normOf(withoutKeyBias(name, weight.dataSync())),
  ]);
  disposeTree(state);
  return [...figures, Object.fromEntries(norms) as Figures];
}

function valueOf(tensor: tf.Tensor | undefined): number {
  return tensor?.dataSync()[0] ?? Number.NaN;
}

/** Softmax does not see a bias of the keys: its gradient is 0, and Adam turns rounding into steps of any sign. */
function withoutKeyBias(name: string, values: ArrayLike<number>): number[] {
  const all = Array.from(values);
  if (name.endsWith('attn.kv.bias')) return all.slice(all.length / 2);
  if (!name.endsWith('attn.qkv.bias')) return all;
  return [...all.slice(0, all.length / 3), ...all.slice((2 * all.length) / 3)];
}

function normOf(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
}

/** Lines for the figures that are off, or NaN, or not there. */
function faults(actual: readonly Figures[]): string[] {
  const expected = [...golden.steps, golden.weightNorms];
  return expected.flatMap((figures, step) =>
    Object.entries(figures).flatMap(([name, wanted]) => {
      const got = actual[step]?.[name] ?? Number.NaN;
      const error = Math.abs(got - wanted) / Math.abs(wanted);
      if (got === wanted || error <= bound) return [];
      return [`step ${step}: ${name}: expected ${wanted}, got ${got}, relative error ${error}`];
    }),
  );
}

describe.each(devices)('ten training steps on $name', (device) => {
  beforeAll(device.use);

  it('have the losses, gradient norms and final weights of PyTorch', () => {
    expectNoLeak(() => {
      expect(faults(train(decayed))).toEqual([]);
    });
  });
});

describe('the comparison itself', () => {
  beforeAll(devices[0]!.use);

  it('fails when weight decay reaches biases and norms too', () => {
    expect(faults(train(names))).not.toEqual([]);
  });
});
