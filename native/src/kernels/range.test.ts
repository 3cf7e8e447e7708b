// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

describe.skipIf(noAddon)(`range and linspace${skipNote}`, () => {
  beforeEach(useNative);

  it.each([
    [0, 3, 1],
    [0, 0, 1],
    [3, 0, 1],
    [3, 0, -1],
    [0, 3, -1],
    [3, 0, 2],
    [-2, 40_000, 1],
    [5, -6, -3],
  ])('count from %i to %i by %i as tfjs does', async (start, stop, step) => {
    for (const dtype of ['float32', 'int32'] as const) {
      await expectSameAsCpu(() => tf.range(start, stop, step, dtype));
    }
  });

  it('round each float32 once, where tfjs adds up rounded steps', async () => {
    await expectSameAsCpu(() => tf.range(0, 1, 0.125));
    const x = tf.range(0, 10_000, 0.1);
    expect(x.dataSync()[99_999]).toBe(Math.fround(9999.9));
    x.dispose();
  });

  it('space evenly as tfjs does', async () => {
    for (const [start, stop, num] of [
      [0, 1, 5],
      [3, -1, 2],
      [2, 9, 1],
      [-1, 1, 1000],
    ] as const) {
      await expectSameAsCpu(() => tf.linspace(start, stop, num), { maxAbs: 1e-5 });
    }
  });

  it('are all of one value when made like another tensor', async () => {
    for (const dtype of ['float32', 'int32', 'bool'] as const) {
      await expectSameAsCpu(() => tf.onesLike(tf.zeros([3, 40], dtype)));
      await expectSameAsCpu(() => tf.zerosLike(tf.ones([3, 40], dtype)));
    }
  });
});
