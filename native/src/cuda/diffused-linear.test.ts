// SPDX-License-Identifier: Apache-2.0
// diffusedLinear on a device: the bits of the two ops that it stands for, plainly and as a recorded step that gets other keys each time.
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { batchOf, passes, weights, xtBytes } from '../test-diffused.ts';
import type { Inputs } from '../test-diffused.ts';
import { captureSteps } from './capture-steps.ts';
import { noDevice, skipNote, useCuda } from './test-cuda.ts';

describe.skipIf(noDevice)(`diffusedLinear on diffmavil-cuda${skipNote}`, () => {
  beforeEach(async () => void (await useCuda()));

  it.each(['float32', 'bfloat16'] as const)(
    'has the bits of linear(diffuse(...)) and keeps no x_t, captured too, in %s',
    (precision) => {
      const parameters = weights();
      const captured = captureSteps(
        (inputs: Inputs) => passes('diffusedLinear', inputs, parameters, precision).results,
      );
      for (const seed of [1, 2, 3, 4]) {
        const inputs = batchOf(seed);
        const one = passes('diffusedLinear', inputs, parameters, precision);
        const two = passes('two ops', inputs, parameters, precision);
        const replayed = captured(inputs);
        for (const name of ['y', 'weight', 'bias'] as const) {
          const expected = two.results[name].dataSync();
          expect(one.results[name].dataSync()).toEqual(expected);
          expect(replayed[name].dataSync()).toEqual(expected);
        }
        expect([one.kept, two.kept]).toEqual([0, xtBytes]);
        tf.dispose([inputs, one.results, two.results, replayed]);
      }
      expect(captured.counts).toEqual({ plain: 1, recorded: 1, replayed: 2 });
      captured.dispose();
      tf.dispose(parameters);
    },
  );
});
