// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { Fuzz } from '../test-shapes.ts';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';

const exact = { maxAbs: 0 };

describe.skipIf(noAddon)(`pad${skipNote}`, () => {
  beforeEach(useNative);

  it('gives random shapes a margin of one value, as tfjs does', async () => {
    const fuzz = new Fuzz('pad');
    for (let i = 0; i < 80; i++) {
      const shape = fuzz.shape(1, 4);
      const dtype = fuzz.dtype();
      const x = fuzz.tensor(shape, dtype);
      const paddings = shape.map(
        () => [fuzz.integer(0, 3), fuzz.pick([0, 1, 20])] as [number, number],
      );
      const value = dtype === 'bool' ? fuzz.integer(0, 1) : fuzz.integer(-3, 3);
      await expectSameAsCpu(() => tf.pad(x(), paddings, value), exact);
    }
  });

  it.each(['reflect', 'symmetric'] as const)('mirrors random shapes, %s', async (mode) => {
    const fuzz = new Fuzz('mirror', mode);
    for (let i = 0; i < 80; i++) {
      const shape = fuzz.shape(1, 4).map((size) => Math.max(1, size));
      const x = fuzz.tensor(shape, fuzz.dtype());
      const paddings = shape.map((size) => {
        const most = mode === 'reflect' ? size - 1 : size;
        return [fuzz.integer(0, most), fuzz.integer(0, most)] as [number, number];
      });
      await expectSameAsCpu(() => tf.mirrorPad(x(), paddings, mode), exact);
    }
  });
});
