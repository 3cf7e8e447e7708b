// SPDX-License-Identifier: Apache-2.0
// The choice of a GPU, on the emulated one.
import { findCuda } from '@diffmavil/native';
import { emulateCuda } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { describeCuda, useBackend } from './backend.ts';

emulateCuda();
const noDevice = findCuda().devices === 0;
const skipNote = noDevice ? ' (skipped: the emulated device is not built)' : '';

describe.skipIf(noDevice)(`a GPU${skipNote}`, () => {
  afterEach(() => {
    process.env['DIFFMAVIL_CUDA'] = 'auto';
  });

  it('is what auto takes', async () => {
    expect(await useBackend('auto')).toBe('diffmavil-cuda');
    expect((await tf.square(tf.tensor1d([1, 2, 3])).data())[2]).toBe(9);
    expect(await describeCuda()).toMatch(/^.+, compute capability \d+\.\d+, [\d.]+ GB, \/.+\.so$/);
  });

  it('is not taken under DIFFMAVIL_CUDA=off', async () => {
    process.env['DIFFMAVIL_CUDA'] = 'off';
    expect(await useBackend('auto')).not.toBe('diffmavil-cuda');
  });

  it('is an error to ask for in words that DIFFMAVIL_CUDA does not know', async () => {
    process.env['DIFFMAVIL_CUDA'] = 'yes';
    await expect(useBackend('auto')).rejects.toThrow(
      "cuda: expected DIFFMAVIL_CUDA to be off, auto or require, got 'yes'",
    );
  });
});
