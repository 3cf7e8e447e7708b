// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { Fuzz } from '../test-shapes.ts';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

const exact = { maxAbs: 0 };
const rounds = 80;

describe.skipIf(noAddon)(`strided copies${skipNote}`, () => {
  beforeEach(useNative);

  it.each([
    { shape: [3, 5], perm: [1, 0] },
    { shape: [130, 75], perm: [1, 0] },
    { shape: [2, 33, 70], perm: [0, 2, 1] },
    { shape: [2, 6, 4, 32], perm: [0, 2, 1, 3] },
    { shape: [2, 5, 3, 4, 8], perm: [2, 0, 3, 1, 4] },
    { shape: [3, 40, 5, 37], perm: [3, 0, 2, 1] },
    { shape: [700, 3], perm: [1, 0] },
    { shape: [3, 700], perm: [1, 0] },
    { shape: [1, 5, 1, 6], perm: [2, 1, 0, 3] },
    { shape: [4, 1, 5], perm: [2, 1, 0] },
    { shape: [2, 3, 2, 2, 2, 3], perm: [5, 3, 1, 4, 2, 0] },
  ])('transpose $shape by $perm as tfjs does', async ({ shape, perm }) => {
    const fuzz = new Fuzz('transpose', ...shape);
    for (const dtype of ['float32', 'int32', 'bool'] as const) {
      const x = fuzz.tensor(shape, dtype);
      await expectSameAsCpu(() => tf.transpose(x(), perm), exact);
    }
  });

  it('transpose random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('transposes');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(0, 6);
      const x = fuzz.tensor(shape, fuzz.dtype());
      const perm = fuzz.order(shape.length);
      await expectSameAsCpu(() => tf.transpose(x(), perm), exact);
    }
  });

  it('slice random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('slices');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 5);
      const x = fuzz.tensor(shape, fuzz.dtype());
      const begin = shape.map((size) => fuzz.integer(0, size));
      const size = shape.map((length, axis) => fuzz.integer(0, length - begin[axis]!));
      await expectSameAsCpu(() => tf.slice(x(), begin, size), exact);
    }
  });

  it('slice with random strides and masks as tfjs does', async () => {
    const fuzz = new Fuzz('strided slices');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 4);
      const x = fuzz.tensor(shape, fuzz.dtype());
      const strides = shape.map(() => fuzz.pick([-3, -2, -1, 1, 1, 2, 3]));
      const [begin, end] = [0, 1].map(() => shape.map((size) => fuzz.integer(-size, size)));
      const masks = [0, 1].map(() => fuzz.integer(0, 2 ** shape.length - 1));
      await expectSameAsCpu(
        () => tf.stridedSlice(x(), begin!, end!, strides, masks[0], masks[1]),
        exact,
      );
    }
  });

  it('reverse, repeat and broadcast random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('reverse');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 4);
      const dtype = fuzz.dtype();
      const x = fuzz.tensor(shape, dtype);
      const axes = shape.map((_, axis) => axis).filter(() => fuzz.integer(0, 1) === 1);
      await expectSameAsCpu(() => tf.reverse(x(), axes), exact);
      const reps = shape.map(() => fuzz.pick([0, 1, 1, 2, 3]));
      await expectSameAsCpu(() => tf.tile(x(), reps), exact);
      const narrow = shape.map((size) => (fuzz.integer(0, 1) === 1 ? 1 : size));
      const y = fuzz.tensor(narrow.slice(fuzz.integer(0, 1)), dtype);
      if (!shape.includes(0)) await expectSameAsCpu(() => tf.broadcastTo(y(), shape), exact);
    }
  });

  it('have a BroadcastTo kernel, which tfjs lacks', () => {
    const y = tf.tidy<tf.Tensor>(() => {
      const x = tf.tensor2d([[1], [2]]);
      const inputs = { x } as unknown as tf.NamedTensorMap;
      return tf.engine().runKernel('BroadcastTo', inputs, { shape: [2, 2, 3] });
    });
    expect([...y.dataSync()]).toEqual([1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
    y.dispose();
  });
});
