// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

describe.skipIf(noAddon)(`oneHot and topk${skipNote}`, () => {
  beforeEach(useNative);

  it('mark indices as tfjs does, none for those outside', async () => {
    const fuzz = new Fuzz('one hot');
    for (let i = 0; i < 40; i++) {
      const shape = fuzz.shape(0, 3);
      const depth = fuzz.pick([2, 3, 5, 300]);
      const size = shape.reduce((product, n) => product * n, 1);
      const values = Int32Array.from({ length: size }, () => fuzz.integer(-2, depth + 1));
      const [on, off] = [fuzz.integer(0, 3), fuzz.integer(0, 3)];
      for (const dtype of ['float32', 'int32', 'bool'] as const) {
        const flags = dtype === 'bool' ? [1, 0] : [on, off];
        await expectSameAsCpu(() =>
          tf.oneHot(tf.tensor(values, shape, 'int32'), depth, flags[0], flags[1], dtype),
        );
      }
    }
  });

  it('find the largest of random rows as tfjs does, equal ones by index', async () => {
    const fuzz = new Fuzz('top k');
    for (let i = 0; i < 40; i++) {
      const shape = fuzz.shape(1, 3).map((size) => Math.max(1, size));
      const size = shape.reduce((product, n) => product * n, 1);
      const values = Array.from({ length: size }, () => fuzz.integer(-5, 5));
      const k = fuzz.integer(0, shape.at(-1)!);
      for (const dtype of ['float32', 'int32'] as const) {
        const x = (): tf.Tensor => tf.tensor(values, shape, dtype);
        await expectSameAsCpu(() => tf.topk(x(), k).values);
        await expectSameAsCpu(() => tf.topk(x(), k).indices);
      }
    }
  });
});
