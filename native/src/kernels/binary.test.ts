// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

const shapes: readonly (readonly [number[], number[]])[] = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [
    [3, 1],
    [1, 5],
  ],
  [[2, 3, 4], []],
  [[], []],
  [
    [0, 3],
    [1, 3],
  ],
  [
    [2, 1, 3, 1, 2],
    [4, 1, 3, 1],
  ],
  [[70, 1000], [1000]],
];

describe.skipIf(noAddon)(`binary kernels${skipNote}`, () => {
  beforeEach(useNative);

  it.each(shapes)('broadcast [%s] against [%s] as tfjs does', async (left, right) => {
    const [a, b] = [ramp(left, 0.37), ramp(right, -0.81)];
    for (const f of [
      tf.add,
      tf.sub,
      tf.mul,
      tf.div,
      tf.maximum,
      tf.minimum,
      tf.squaredDifference,
    ]) {
      await expectSameAsCpu(() => f<tf.Tensor>(tf.tensor(a, left), tf.tensor(b, right)));
    }
  });

  it('compute int32 as tfjs does', async () => {
    const [a, b] = [
      [1, -5, 2 ** 31 - 1, 7],
      [2, 3, 1, -2],
    ] as const;
    for (const f of [tf.add, tf.sub, tf.mul, tf.maximum, tf.minimum]) {
      await expectSameAsCpu(() =>
        f<tf.Tensor>(tf.tensor1d([...a], 'int32'), tf.tensor1d([...b], 'int32')),
      );
    }
  });
});

function ramp(shape: readonly number[], step: number): Float32Array {
  const size = shape.reduce((product, length) => product * length, 1);
  return Float32Array.from({ length: size }, (_, i) => 1 + step * ((i % 101) + 1));
}
