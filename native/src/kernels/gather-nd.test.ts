// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

const exact = { maxAbs: 0 };
const rounds = 60;

/** A tensor's shape, indices int32 [count, rank] into its first `rank` axes, and the shape of the slices. */
function draw(fuzz: Fuzz): {
  shape: number[];
  at: () => tf.Tensor;
  slices: number[];
} {
  const shape = fuzz.shape(1, 4).map((size) => Math.max(1, size));
  const rank = fuzz.integer(1, shape.length);
  const count = fuzz.integer(1, 12);
  const rows = Array.from({ length: count }, () =>
    shape.slice(0, rank).map((size) => fuzz.integer(0, size - 1)),
  );
  const at = (): tf.Tensor => tf.tensor2d(rows, [count, rank], 'int32');
  return { shape, at, slices: [count, ...shape.slice(rank)] };
}

describe.skipIf(noAddon)(`gatherND and scatterND${skipNote}`, () => {
  beforeEach(useNative);

  it('take slices of random shapes as tfjs does', async () => {
    const fuzz = new Fuzz('gatherND');
    for (let i = 0; i < rounds; i++) {
      const { shape, at } = draw(fuzz);
      const x = fuzz.tensor(shape, fuzz.dtype());
      await expectSameAsCpu(() => tf.gatherND(x(), at()), exact);
    }
  });

  it('add slices up as tfjs does', async () => {
    const fuzz = new Fuzz('scatterND');
    for (let i = 0; i < rounds; i++) {
      const { shape, at, slices } = draw(fuzz);
      const updates = fuzz.tensor(slices, fuzz.pick(['float32', 'int32']));
      await expectSameAsCpu(() => tf.scatterND(at(), updates(), shape), { maxAbs: 1e-6 });
    }
  });

  it('replace slices as tfjs does, the last of a place holding', async () => {
    const fuzz = new Fuzz('update');
    for (let i = 0; i < rounds; i++) {
      const { shape, at, slices } = draw(fuzz);
      const dtype = fuzz.dtype();
      const [x, updates] = [fuzz.tensor(shape, dtype), fuzz.tensor(slices, dtype)];
      await expectSameAsCpu(() => tf.tensorScatterUpdate(x(), at(), updates()), exact);
    }
  });

  it('share the columns of wide slices among threads', async () => {
    const fuzz = new Fuzz('wide');
    const updates = fuzz.tensor([5, 1000], 'float32');
    const at = (): tf.Tensor => tf.tensor2d([[2], [0], [2], [2], [6]], undefined, 'int32');
    await expectSameAsCpu(() => tf.scatterND(at(), updates(), [7, 1000]), { maxAbs: 1e-6 });
  });

  it('refuse an index outside, in one sentence', () => {
    tf.tidy(() => {
      const at = tf.tensor2d([[1], [9]], undefined, 'int32');
      expect(() => tf.gatherND(tf.ones([3, 40]), at)).toThrow(
        'GatherNd: expected indices into the tensor, got place 9 of 3',
      );
    });
  });
});
