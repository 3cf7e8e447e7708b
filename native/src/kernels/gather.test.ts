// SPDX-License-Identifier: Apache-2.0
import { expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

const exact = { maxAbs: 0 };
const sums = { maxAbs: 1e-5 };
const rounds = 60;

/** int32 in 0..most-1. */
function indices(fuzz: Fuzz, shape: number[], most: number): () => tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Int32Array.from({ length: size }, () => fuzz.integer(0, most - 1));
  return () => tf.tensor(values, shape, 'int32');
}

/** A draw of x, the axis, indices that agree with x in `batchDims` axes. */
function gathered(fuzz: Fuzz): {
  shape: number[];
  axis: number;
  batchDims: number;
  at: () => tf.Tensor;
} {
  const shape = fuzz.shape(1, 4).map((size) => Math.max(1, size));
  const axis = fuzz.integer(0, shape.length - 1);
  const batchDims = fuzz.integer(0, axis);
  const rest = Array.from({ length: fuzz.integer(0, 2) }, () => fuzz.pick([1, 2, 3, 40]));
  const at = indices(fuzz, [...shape.slice(0, batchDims), ...rest], shape[axis]!);
  return { shape, axis, batchDims, at };
}

describe.skipIf(noAddon)(`gather${skipNote}`, () => {
  beforeEach(useNative);

  it('takes slices of random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('gather');
    for (let i = 0; i < rounds; i++) {
      const { shape, axis, batchDims, at } = gathered(fuzz);
      const x = fuzz.tensor(shape, fuzz.dtype());
      await expectSameAsCpu(() => tf.gather(x(), at(), axis, batchDims), exact);
    }
  });

  it('refuses an index outside in the words of tfjs', () => {
    tf.tidy(() => {
      expect(() => tf.gather(tf.ones([3, 2]), [1, 3])).toThrow(
        'GatherV2: the index value 3 is not in [0, 2]',
      );
    });
  });

  it('has the gradient that tfjs has where tfjs has one', async () => {
    const fuzz = new Fuzz('gradient');
    for (let i = 0; i < 15; i++) {
      const shape = fuzz.shape(1, 3).map((size) => Math.max(1, size));
      const axis = fuzz.integer(0, shape.length - 1);
      const count = fuzz.integer(1, 5);
      const at = indices(fuzz, [count], shape[axis]!);
      const x = fuzz.tensor(shape, 'float32');
      const dy = fuzz.tensor([...shape.slice(0, axis), count, ...shape.slice(axis + 1)], 'float32');
      await expectSameAsCpu(
        () => tf.grad((input) => tf.gather(input, at(), axis))(x(), dy()),
        sums,
      );
    }
  });

  it('has a gradient for any batchDims: that of a product with one-hot rows', () => {
    const fuzz = new Fuzz('batched gradient');
    for (let i = 0; i < 15; i++) {
      const [a, b, width, count] = [2, 3, 5, 6].map((n) => fuzz.integer(1, n));
      const tokens = fuzz.integer(2, 5);
      const x = fuzz.tensor([a!, b!, tokens, width!], 'float32');
      const at = indices(fuzz, [a!, b!, count!], tokens);
      const dy = fuzz.tensor([a!, b!, count!, width!], 'float32');
      const [got, expected] = expectNoLeak(() =>
        tf.tidy(() => {
          const rows = tf.cast(tf.oneHot(at(), tokens), 'float32');
          const pair = [
            tf.grad((input) => tf.gather(input, at(), 2, 2))(x(), dy()),
            tf.matMul(rows, dy(), true),
          ];
          return pair.map((tensor) => tensor.dataSync());
        }),
      );
      expectClose(got!, expected!, sums);
    }
  });

  it('can be differentiated twice', () => {
    const [second] = tf.tidy(() => {
      const at = tf.tensor1d([1, 1, 0], 'int32');
      const cubes = (x: tf.Tensor): tf.Tensor => tf.sum(tf.pow(tf.gather(x, at), 3));
      const slope = (x: tf.Tensor): tf.Tensor => tf.sum(tf.grad(cubes)(x));
      return [
        tf
          .grad(slope)(tf.tensor1d([1, 2, 3]))
          .dataSync(),
      ];
    });
    // 6 x for each time an element is taken.
    expect([...second]).toEqual([6, 24, 0]);
  });

  it('adds up segments as tfjs does, and leaves ids outside out', async () => {
    const fuzz = new Fuzz('segments');
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(1, 3);
      const x = fuzz.tensor(shape, 'float32');
      const segments = fuzz.integer(1, 6);
      const ids = Int32Array.from({ length: shape[0]! }, () => fuzz.integer(-1, segments));
      if (shape[0] === 0) continue; // tfjs's sum of nothing has another shape
      await expectSameAsCpu(
        () => tf.unsortedSegmentSum(x(), tf.tensor1d(ids, 'int32'), segments),
        sums,
      );
    }
  });
});
