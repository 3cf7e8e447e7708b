// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

describe.skipIf(noAddon)(`unary kernels${skipNote}`, () => {
  beforeEach(useNative);

  it.each([0, 1, 3, 17, 40_000])('compute %i elements as tfjs does', async (size) => {
    const signed = Float32Array.from({ length: size }, (_, i) => ((i % 201) - 100) / 7 + 0.01);
    const positive = signed.map((x) => Math.abs(x) + 0.01);
    for (const f of [tf.abs, tf.exp, tf.neg, tf.relu, tf.sigmoid, tf.square, tf.reciprocal]) {
      await expectSameAsCpu(() => f(tf.tensor1d(signed)));
    }
    for (const f of [tf.sqrt, tf.rsqrt]) await expectSameAsCpu(() => f(tf.tensor1d(positive)));
  });

  it('fill as tfjs does', async () => {
    for (const shape of [[3, 5], [], [0, 2], [100_000]]) {
      await expectSameAsCpu(() => tf.fill(shape, -0.1));
      await expectSameAsCpu(() => tf.fill(shape, -4, 'int32'));
      await expectSameAsCpu(() => tf.fill(shape, 1, 'bool'));
    }
  });
});
