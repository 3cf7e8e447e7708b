// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { globalNorm, globalNormReference, makeKey, normals } from '@diffmavil/core';
import { expectClose, expectNoLeak } from '@diffmavil/testkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../loader.ts';
import { backendName } from '../register.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

const sizes = [[3], [0, 4], [100_003], [40, 50], []];

function norm(f: typeof globalNorm): number {
  return expectNoLeak(() =>
    tf.tidy(() => {
      const tensors = sizes.map((shape, i) => {
        const size = shape.reduce((product, n) => product * n, 1);
        return [String(i), tf.tensor(normals(makeKey(i), size), shape)] as const;
      });
      return f(Object.fromEntries(tensors)).dataSync()[0]!;
    }),
  );
}

describe.skipIf(noAddon)(`globalNorm${skipNote}`, () => {
  beforeEach(useNative);

  it('equals its twin on tfjs, whatever the threads', async () => {
    await tf.setBackend('cpu');
    const expected = norm(globalNormReference);
    await tf.setBackend(backendName);
    const [one, four] = [1, 4].map((threads) => {
      loadAddon().setThreads(threads);
      return norm(globalNorm);
    });
    expect(four).toBe(one);
    expectClose(one!, expected, { maxRel: 1e-6 });
  });

  it('is 0 for no tensors, and keeps NaN', () => {
    tf.tidy(() => {
      expect(globalNorm({}).dataSync()[0]).toBe(0);
      expect(globalNorm({ a: tf.tensor1d([1, NaN]) }).dataSync()[0]).toBeNaN();
    });
  });
});
