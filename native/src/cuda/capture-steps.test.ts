// SPDX-License-Identifier: Apache-2.0
import { adamwUpdate, linear, valueAndGrads } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { captureSteps } from './capture-steps.ts';
import { filled, noDevice, skipNote, useCuda } from './test-cuda.ts';

type Weights = Record<string, tf.Tensor>;

/** Weights, a batch and the optimizer of a linear map with 20 inputs and 3 outputs. */
function setup(): { weights: Weights; moments: () => Weights } {
  const drawn = (size: number, from: number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(from + i));
  const weights = {
    weight: tf.tensor2d(drawn(60, 1), [3, 20]),
    bias: tf.tensor1d(drawn(3, 2)),
  };
  const moments = (): Weights => ({ weight: tf.zeros([3, 20]), bias: tf.zeros([3]) });
  return { weights, moments };
}

const batchOf = (step: number, rows: number): tf.Tensor2D =>
  tf.tensor2d(
    Float32Array.from({ length: rows * 20 }, (_, i) => Math.cos(step + i)),
    [rows, 20],
  );

/** Loss and gradients after each of six steps, with rows that change once, as a curriculum changes them. */
async function train(capture: boolean): Promise<{ losses: number[]; counts: object }> {
  const { weights, moments } = setup();
  let state = { parameters: weights, firstMoments: moments(), secondMoments: moments() };
  const passes = (inputs: { x: tf.Tensor }): Weights => {
    const { outputs, grads } = valueAndGrads(() => {
      const y = linear(inputs.x, state.parameters['weight']!, state.parameters['bias']!);
      return { loss: tf.mean(tf.square(y)) };
    }, state.parameters);
    return { loss: outputs.loss, ...grads };
  };
  const steps = captureSteps(passes);
  const losses: number[] = [];
  for (let step = 0; step < 8; step++) {
    const x = batchOf(step, step < 5 ? 8 : 4);
    const { loss, ...gradients } = (capture ? steps : passes)({ x });
    const update = adamwUpdate(
      { ...state, gradients },
      {
        learningRate: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weightDecay: 0.05,
        step: step + 1,
        gradientScale: 1,
        perParameter: {},
      },
    );
    losses.push((await loss!.data())[0]!);
    tf.dispose([x, loss!, gradients]);
    state = update;
  }
  steps.dispose();
  tf.dispose(state);
  return { losses, counts: steps.counts };
}

describe.skipIf(noDevice)(`captureSteps${skipNote}`, () => {
  beforeEach(async () => void (await useCuda()));

  it('gives the bits of plain steps while weights are updated and shapes change', async () => {
    const plain = await train(false);
    const captured = await train(true);
    expect(captured.losses).toEqual(plain.losses);
    expect(new Set(plain.losses).size).toBe(8);
    // Of 8 rows: plain, recorded, again since the bias had been a constant of JavaScript until its first update, replayed; of 4: three.
    expect(captured.counts).toEqual({ plain: 2, recorded: 2, replayed: 4 });
  });

  it('is recorded anew when a tensor that it uses has been replaced', () => {
    let factor = filled(20, 2);
    const doubled = captureSteps(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, factor) }));
    const x = filled(20, 3);
    const value = (): number => tf.tidy(() => doubled({ x }).y.dataSync()[0]!);
    expect([value(), value(), value()]).toEqual([6, 6, 6]);
    factor.dispose();
    factor = filled(20, 5);
    expect([value(), value()]).toEqual([15, 15]);
    expect(doubled.counts).toEqual({ plain: 1, recorded: 2, replayed: 2 });
    doubled.dispose();
    tf.dispose([x, factor]);
  });

  it('takes inputs that JavaScript holds as values, not as constants', () => {
    const scaled = captureSteps(({ x, by }: { x: tf.Tensor; by: tf.Tensor }) => ({
      y: tf.mul(x, by),
    }));
    const x = filled(20, 3);
    const values = [2, 3, 4, 5].map((number) =>
      tf.tidy(() => scaled({ x, by: tf.scalar(number) }).y.dataSync()[19]!),
    );
    expect(values).toEqual([6, 9, 12, 15]);
    scaled.dispose();
    x.dispose();
  });

  it('refuses a function that reads values, and the device goes on', async () => {
    const before = tf.memory().numTensors;
    const reading = captureSteps(({ x }: { x: tf.Tensor }) => {
      const y = tf.square(x);
      return { y: tf.mul(y, y.dataSync()[0]!) };
    });
    const x = filled(20, 2);
    tf.dispose(reading({ x }));
    expect(() => reading({ x })).toThrow(/captur|record/);
    const squared = tf.square(x);
    expect((await squared.data())[19]).toBe(4);
    reading.dispose();
    tf.dispose([x, squared]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('gives its memory back', async () => {
    const { device } = await useCuda();
    const squared = captureSteps(({ x }: { x: tf.Tensor }) => ({ y: tf.square(tf.square(x)) }));
    const x = tf.zeros([100_000]);
    tf.square(x).dispose(); // has x on the device
    const { inUse } = device.memory();
    for (let i = 0; i < 3; i++) tf.dispose(squared({ x }));
    expect(device.memory().inUse).toBeGreaterThan(inUse);
    squared.dispose();
    expect(device.memory().inUse).toBe(inUse);
    x.dispose();
  });
});
