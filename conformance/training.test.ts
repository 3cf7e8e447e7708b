// SPDX-License-Identifier: Apache-2.0
// End to end against PyTorch: ten of the trainer's steps (clipped AdamW) of a tiny model on given clips, masks, timesteps and
// noise, in float32 here and float64 there. Every loss and gradient norm of each step, and the norm of each weight at the end,
// within 1e-5 relative (cpu and wasm are within 5e-7 by step 10, as PyTorch in float32 is; a moment, a decay or a clip done wrong
// is off by more than 1e-4).
import { disposeTree } from '@diffmavil/core';
import {
  type Modality,
  type ModalityInput,
  type ModelConfig,
  type PartialModelConfig,
  type PretrainOutputs,
  defineModel,
  modalities,
  pretrainForward,
} from '@diffmavil/model';
import { type LearningRateSchedule, learningRate } from '@diffmavil/schedulers';
import { devices, expectNoLeak, readFixture, readJsonFixture } from '@diffmavil/testkit';
import { type LossOutputs, type OptimizerConfig, decays, trainStep } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

const bound = 1e-5;

type Settings = PartialModelConfig & {
  readonly maskRatio: number;
  readonly optimizer: Pick<OptimizerConfig, 'beta1' | 'beta2' | 'epsilon' | 'weightDecay'> & {
    readonly maxGradientNorm: number;
    readonly learningRate: LearningRateSchedule;
  };
  readonly decayed: readonly string[];
};

type Figures = Readonly<Record<string, number>>;

interface Golden {
  readonly steps: readonly Figures[];
  readonly weightNorms: Figures;
}

const settings = readJsonFixture('diffmavil/training.config.json') as Settings;
const { maskRatio, optimizer: given, decayed, ...partial } = settings;
const golden = readJsonFixture('diffmavil/training.out.json') as Golden;
const fixture = readFixture('diffmavil/training.in.safetensors');
const config: ModelConfig = defineModel(partial);
const names = Object.keys(golden.weightNorms);
const optimizer: OptimizerConfig = {
  ...given,
  clipNorm: given.maxGradientNorm,
  learningRate: given.learningRate.peak,
  minLearningRate: 0,
  warmupEpochs: 0,
  layerDecay: 1,
};

type State = Parameters<typeof trainStep>[0];

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

/** The losses under the names of the golden file. */
function losses(outputs: PretrainOutputs): LossOutputs {
  const named = {
    loss: outputs.loss,
    'loss.audio': outputs.audioLoss,
    'loss.video': outputs.videoLoss,
    'loss.inter': outputs.interLoss,
    'loss.intra': outputs.intraLoss,
  };
  return named as LossOutputs;
}

/** Figures of each step, then the norms of the weights. */
async function train(changed: Partial<OptimizerConfig> = {}): Promise<Figures[]> {
  let state = initialState();
  const figures: Figures[] = [];
  for (const step of golden.steps.keys()) {
    const inputs = inputsOf(step);
    const rate = learningRate(given.learningRate, step);
    const after = await trainStep(
      state,
      (parameters) => losses(pretrainForward(config, parameters, inputs, maskRatio)),
      { step, learningRate: rate, optimizer: { ...optimizer, ...changed }, clips: [] },
    );
    ({ state } = after);
    figures.push({ ...after.figures, learningRate: rate });
    disposeTree(inputs);
  }
  const norms = Object.entries(state.parameters).map(([name, weight]) => [
    name,
    normOf(withoutKeyBias(name, weight.dataSync())),
  ]);
  disposeTree(state);
  return [...figures, Object.fromEntries(norms) as Figures];
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

  it('have the losses, gradient norms and final weights of PyTorch', async () => {
    expect(faults(await expectNoLeak(() => train()))).toEqual([]);
  });
});

describe('the recipe', () => {
  it('decays the weights that the reference decays', () => {
    const ours = names.filter((name) => decays(name, fixture.get(name).shape.length));
    expect(ours.toSorted()).toEqual(decayed.toSorted());
  });
});

describe('the comparison itself', () => {
  beforeAll(devices[1]!.use);

  it.each<[string, Partial<OptimizerConfig>]>([
    ['the gradients are not clipped', { clipNorm: null }],
    ['nothing decays', { weightDecay: 0 }],
    ['the second moment has another memory', { beta2: 0.951 }],
    ['epsilon is larger', { epsilon: 1e-6 }],
  ])('fails when %s', async (_, changed) => {
    expect(faults(await train(changed))).not.toEqual([]);
  });
});
