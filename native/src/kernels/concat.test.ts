// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { Fuzz } from '../test-shapes.ts';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

const exact = { maxAbs: 0 };
const rounds = 60;

describe.skipIf(noAddon)(`concat, stack, split and unstack${skipNote}`, () => {
  beforeEach(useNative);

  it('join random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('concat');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 4);
      const axis = fuzz.integer(0, shape.length - 1);
      const dtype = fuzz.dtype();
      const parts = Array.from({ length: fuzz.integer(1, 5) }, () => {
        const size = fuzz.pick([0, 1, 2, 5, 40]);
        return fuzz.tensor([...shape.slice(0, axis), size, ...shape.slice(axis + 1)], dtype);
      });
      await expectSameAsCpu(
        () =>
          tf.concat(
            parts.map((part) => part()),
            axis,
          ),
        exact,
      );
    }
  });

  it('stack random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('stack');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(0, 4);
      const axis = fuzz.integer(-shape.length - 1, shape.length);
      const dtype = fuzz.dtype();
      const parts = Array.from({ length: fuzz.integer(1, 20) }, () => fuzz.tensor(shape, dtype));
      // tfjs's own stack takes no negative axis.
      const at = axis < 0 ? axis + shape.length + 1 : axis;
      await expectSameAsCpu(
        () =>
          tf.stack(
            parts.map((part) => part()),
            at,
          ),
        exact,
      );
    }
  });

  it('take random shapes apart as tfjs does', async () => {
    const fuzz = new Fuzz('split');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 4);
      const axis = fuzz.integer(0, shape.length - 1);
      const sizes = Array.from({ length: fuzz.integer(1, 5) }, () => fuzz.pick([0, 1, 2, 5, 40]));
      shape[axis] = sizes.reduce((sum, size) => sum + size);
      const x = fuzz.tensor(shape, fuzz.dtype());
      const part = fuzz.integer(0, sizes.length - 1);
      await expectSameAsCpu(() => tf.split(x(), sizes, axis)[part]!, exact);
      if (shape[axis] > 0 && shape[axis] < 20) {
        await expectSameAsCpu(() => tf.unstack(x(), axis)[shape[axis]! - 1]!, exact);
      }
    }
  });

  it('join rows that are cut into chunks', async () => {
    const fuzz = new Fuzz('long');
    const parts = [3, 40_000, 7].map((size) => fuzz.tensor([3, size], 'float32'));
    await expectSameAsCpu(
      () =>
        tf.concat(
          parts.map((part) => part()),
          1,
        ),
      exact,
    );
    const x = fuzz.tensor([2, 50_000], 'float32');
    await expectSameAsCpu(() => tf.split(x(), [20_000, 30_000], 1)[1]!, exact);
  });

  it('have gradients that take apart and join again', () => {
    const [da, db] = tf.tidy(() => {
      const [a, b] = [tf.ones([2, 1]), tf.ones([2, 2])];
      const dy = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
      const grads = tf.grads((x, y) => tf.concat([x, y], 1))([a, b], dy);
      return grads.map((g) => [...g.dataSync()]);
    });
    expect(da).toEqual([1, 4]);
    expect(db).toEqual([2, 3, 5, 6]);
  });
});
