// SPDX-License-Identifier: Apache-2.0
// diffusedLinear on diffmavil-cpu, where it is composed of native kernels: with the bits of the two ops that it stands for.
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { batchOf, passes, weights, xtBytes } from '../test-diffused.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

describe.skipIf(noAddon)(`diffusedLinear${skipNote}`, () => {
  // What core composed for another backend before ours was registered is not handed to that backend.
  beforeAll(async () => {
    await tf.setBackend('cpu');
    const [inputs, parameters] = [batchOf(1), weights()];
    tf.dispose([
      inputs,
      parameters,
      passes('diffusedLinear', inputs, parameters, 'float32').results,
    ]);
  });
  beforeEach(useNative);

  it.each(['float32', 'bfloat16'] as const)(
    'has the bits of linear(diffuse(...)) and keeps no x_t, in %s',
    (precision) => {
      resetDelegatedKernels();
      const [inputs, parameters] = [batchOf(1), weights()];
      const one = passes('diffusedLinear', inputs, parameters, precision);
      const two = passes('two ops', inputs, parameters, precision);
      for (const name of ['y', 'weight', 'bias'] as const) {
        expect(one.results[name].dataSync()).toEqual(two.results[name].dataSync());
      }
      expect([one.kept, two.kept]).toEqual([0, xtBytes]);
      expect(delegatedKernels()).toEqual({});
      tf.dispose([inputs, parameters, one.results, two.results]);
    },
  );
});
