// SPDX-License-Identifier: Apache-2.0
// A device on which the hundredth piece of work faults: what is started is told nothing of it, what waits is told once, and in what words.
import { linear, valueAndGrads } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { filled, noDevice, useCuda } from './test-cuda.ts';

// Before the device is looked for, which importing test-cuda.ts does.
vi.hoisted(() => {
  process.env['DIFFMAVIL_EMULATOR_FAULT'] = '100';
});

const real = !(process.env['DIFFMAVIL_CUDA_PATH'] ?? '').includes('emulated');
const missing = noDevice ? 'the emulated device is not built' : real ? 'not on a GPU' : null;
const note = missing === null ? '' : ` (skipped: ${missing})`;

describe.skipIf(missing !== null)(`a device that a kernel spoils${note}`, () => {
  beforeAll(async () => void (await useCuda()));

  it('is found out by who waits, not before: nothing on the way of a training step does', async () => {
    const weights = { weight: tf.ones([3, 20]) };
    const x = tf.ones([4, 20]);
    // Far more than a hundred kernels: were anything waited for on their way, this would throw.
    let loss: tf.Tensor = tf.scalar(0);
    for (let step = 0; step < 50; step++) {
      const { outputs } = valueAndGrads(() => {
        const y = linear(x, weights.weight, tf.zeros([3]));
        return { loss: tf.mean<tf.Scalar>(tf.square(y)) };
      }, weights);
      loss = outputs.loss;
    }
    await expect(loss.data()).rejects.toThrow(
      /^fetch_wait: expected what was started before to end well, got '.+'\. Try: DIFFMAVIL_CUDA_SYNC=1, which names the op that did it$/,
    );
  });

  it('answers everything from then on with what to do', () => {
    const sentence =
      /^device: expected a device in order, got one that an earlier fault has spoilt\. Try: start the process again/;
    expect(() => filled(100, 1)).toThrow(sentence);
    expect(() => tf.square(tf.scalar(2))).toThrow(sentence);
  });
});
