// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

describe.skipIf(noAddon)(`batchNorm${skipNote}`, () => {
  beforeEach(useNative);

  it.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])('normalizes channels as tfjs does, scaled %s, shifted %s', async (scaled, shifted) => {
    const fuzz = new Fuzz('batch norm');
    for (const shape of [
      [2, 3, 4, 5],
      [70, 300],
      [1, 1],
    ]) {
      const channels = shape.at(-1)!;
      const x = fuzz.tensor(shape, 'float32');
      const [mean, scale, offset] = [0, 1, 2].map(() => fuzz.tensor([channels], 'float32'));
      await expectSameAsCpu(
        () => {
          const variance = tf.tensor1d(Float32Array.from({ length: channels }, (_, i) => 0.5 + i));
          const optional = [shifted ? offset!() : undefined, scaled ? scale!() : undefined];
          return tf.batchNorm(x(), mean!(), variance, optional[0], optional[1]);
        },
        { maxAbs: 1e-5 },
      );
    }
  });
});
