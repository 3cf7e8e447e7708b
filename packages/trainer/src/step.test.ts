// SPDX-License-Identifier: Apache-2.0
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { type LossOutputs, type NonFiniteError, decays, trainStep } from './step.ts';
import type { OptimizerConfig } from './config.ts';

const optimizer: OptimizerConfig = {
  learningRate: 0.1,
  minLearningRate: 0,
  warmupEpochs: 0,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  clipNorm: null,
  layerDecay: 1,
};

const stateOf = (values: number[]): Parameters<typeof trainStep>[0] => ({
  parameters: { 'a.weight': tf.tensor1d(values) },
  firstMoments: { 'a.weight': tf.zeros([values.length]) },
  secondMoments: { 'a.weight': tf.zeros([values.length]) },
});
const halfSquare = (parameters: Readonly<Record<string, tf.Tensor>>): LossOutputs => ({
  loss: tf.mul(0.5, tf.sum(tf.square(parameters['a.weight']!))),
});

describe.each(devices)('trainStep on $name', ({ use }) => {
  beforeAll(use);

  it('moves each weight by the learning rate against its gradient in the first step', async () => {
    // AdamW's first step is lr * g / (|g| + eps): 0.1 against the sign.
    const options = { step: 0, learningRate: 0.1, optimizer, clips: [] };
    const { state, figures } = await trainStep(stateOf([3, -4]), halfSquare, options);
    const moved = await state.parameters['a.weight']!.data();
    expect(moved[0]).toBeCloseTo(2.9, 6);
    expect(moved[1]).toBeCloseTo(-3.9, 6);
    expect(figures).toMatchObject({ loss: 12.5, gradientNorm: 5 });
    tf.dispose(Object.values(state).flatMap((record) => Object.values(record)));
  });

  it('clips the gradient, not the figure: the moments see the scaled gradient', async () => {
    const options = {
      step: 0,
      learningRate: 0.1,
      optimizer: { ...optimizer, clipNorm: 1 },
      clips: [],
    };
    const { state, figures } = await trainStep(stateOf([3, -4]), halfSquare, options);
    expect(figures.gradientNorm).toBeCloseTo(5, 6);
    // (1 - beta1) * g / 5.
    expect((await state.firstMoments['a.weight']!.data())[0]).toBeCloseTo(0.1 * 0.6, 6);
    tf.dispose(Object.values(state).flatMap((record) => Object.values(record)));
  });

  it('changes nothing when the loss is not finite, naming terms and clips', async () => {
    const options = { step: 41, learningRate: 0.1, optimizer, clips: ['a.mp4', 'b.mp4'] };
    const infinite = (parameters: Readonly<Record<string, tf.Tensor>>): LossOutputs => ({
      loss: tf.add(halfSquare(parameters).loss, Infinity),
    });
    // A sum that is not finite, with gradients that are; and gradients that are not.
    for (const [values, loss, terms] of [
      [[3, -4], infinite, 'loss Infinity, gradientNorm 5'],
      [[3, Number.NaN], halfSquare, 'loss NaN, gradientNorm NaN'],
    ] as const) {
      const error: unknown = await trainStep(stateOf([...values]), loss, options).catch(
        (fault: unknown) => fault,
      );
      const { message, state } = error as NonFiniteError;
      expect(message).toContain(
        `step 41: expected finite losses and gradients, got ${terms}, with the clips a.mp4, b.mp4. Try: `,
      );
      const { parameters, firstMoments, secondMoments } = state;
      expect(await parameters['a.weight']!.data()).toEqual(Float32Array.from(values));
      expect(await firstMoments['a.weight']!.data()).toEqual(new Float32Array(2));
      expect(await secondMoments['a.weight']!.data()).toEqual(new Float32Array(2));
      tf.dispose([parameters, firstMoments, secondMoments]);
    }
  });

  it('ends with the tensors it began with', async () => {
    await expectNoLeak(async () => {
      let state = stateOf([1, 2]);
      for (let step = 0; step < 3; step++) {
        ({ state } = await trainStep(state, halfSquare, {
          step,
          learningRate: 0.1,
          optimizer,
          clips: [],
        }));
      }
      tf.dispose(Object.values(state).flatMap((record) => Object.values(record)));
    });
  });
});

describe('decays', () => {
  it('spares biases, norms, tokens and bias tables', () => {
    expect(decays('audio_encoder.blocks.0.attn.qkv.weight', 2)).toBe(true);
    expect(decays('audio_encoder.blocks.0.norm1.weight', 1)).toBe(false);
    expect(decays('audio_encoder.blocks.0.attn.qkv.bias', 1)).toBe(false);
    expect(decays('audio_decoder.mask_token', 3)).toBe(false);
    expect(decays('audio_decoder.blocks.0.rel_bias', 2)).toBe(false);
  });
});
