// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

type Images = tf.Tensor4D;
const pools = { maxPool: tf.maxPool<Images>, avgPool: tf.avgPool<Images> };
const tolerance = { maxAbs: 1e-5 };

interface Windows {
  readonly x: () => Images;
  readonly pool: (kind: 'maxPool' | 'avgPool', x: Images) => Images;
}

function draw(fuzz: Fuzz): Windows {
  const size: [number, number] = [fuzz.integer(1, 3), fuzz.integer(1, 3)];
  const strides: [number, number] = [fuzz.integer(1, 3), fuzz.integer(1, 3)];
  const padding = fuzz.pick(['same', 'valid'] as const);
  const shape = [
    fuzz.integer(1, 3),
    fuzz.integer(3, 8),
    fuzz.integer(3, 8),
    fuzz.pick([1, 3, 17, 40]),
  ];
  const x = fuzz.tensor(shape, 'float32');
  return {
    x: () => x() as Images,
    pool: (kind, images) => pools[kind](images, size, strides, padding),
  };
}

describe.skipIf(noAddon)(`pools${skipNote}`, () => {
  beforeEach(useNative);

  it.each(['maxPool', 'avgPool'] as const)('%s random images as tfjs does', async (kind) => {
    const fuzz = new Fuzz(kind);
    for (let i = 0; i < 40; i++) {
      const { x, pool } = draw(fuzz);
      await expectSameAsCpu(() => pool(kind, x()), tolerance);
    }
  });

  it.each(['maxPool', 'avgPool'] as const)('%s has the gradient of tfjs', async (kind) => {
    const fuzz = new Fuzz('gradient', kind);
    for (let i = 0; i < 20; i++) {
      const { x, pool } = draw(fuzz);
      await expectSameAsCpu(
        () => tf.grad((images) => tf.square(pool(kind, images as Images)))(x()),
        tolerance,
      );
    }
  });
});
