// SPDX-License-Identifier: Apache-2.0
import { expectClose } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { Fuzz } from '../test-shapes.ts';

type Images = tf.Tensor4D;

const kinds = [
  { alignCorners: false, halfPixelCenters: false },
  { alignCorners: true, halfPixelCenters: false },
  { alignCorners: false, halfPixelCenters: true },
];

describe.skipIf(noAddon)(`resizeBilinear${skipNote}`, () => {
  beforeEach(useNative);

  it.each(kinds)(
    'resizes random images as tfjs does, $alignCorners, $halfPixelCenters',
    async (kind) => {
      const { alignCorners, halfPixelCenters } = kind;
      const fuzz = new Fuzz('resize');
      for (let i = 0; i < 30; i++) {
        const shape = [
          fuzz.integer(1, 3),
          fuzz.integer(1, 9),
          fuzz.integer(1, 9),
          fuzz.pick([1, 3]),
        ];
        const x = fuzz.tensor(shape, 'float32');
        const size: [number, number] = [fuzz.integer(1, 20), fuzz.integer(1, 20)];
        await expectSameAsCpu(
          () => tf.image.resizeBilinear(x() as Images, size, alignCorners, halfPixelCenters),
          { maxAbs: 1e-5 },
        );
      }
    },
  );

  it.each(kinds)('has the adjoint for gradient, $alignCorners, $halfPixelCenters', (kind) => {
    const { alignCorners, halfPixelCenters } = kind;
    const fuzz = new Fuzz('adjoint');
    for (let i = 0; i < 10; i++) {
      const size: [number, number] = [fuzz.integer(1, 12), fuzz.integer(1, 12)];
      const resize = (images: tf.Tensor): tf.Tensor =>
        tf.image.resizeBilinear(images as Images, size, alignCorners, halfPixelCenters);
      tf.tidy(() => {
        const x = fuzz.tensor([2, fuzz.integer(1, 7), fuzz.integer(1, 7), 3], 'float32')();
        const y = resize(x);
        const dy = fuzz.tensor(y.shape, 'float32')();
        const dx = tf.grad(resize)(x, dy);
        expect(dx.shape).toEqual(x.shape);
        // Linear in x: <dy, resize(x)> is <dx, x>.
        const [left, right] = [dot(dy, y), dot(dx, x)];
        expectClose(left, right, { maxAbs: 1e-4 });
      });
    }
  });
});

function dot(a: tf.Tensor, b: tf.Tensor): number {
  const [x, y] = [a.dataSync(), b.dataSync()];
  let sum = 0;
  for (const [i, value] of x.entries()) sum += value * y[i]!;
  return sum;
}
