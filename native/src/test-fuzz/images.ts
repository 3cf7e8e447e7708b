// SPDX-License-Identifier: Apache-2.0
// Pools, resizing and batch norm.
import * as tf from '@tensorflow/tfjs-core';
import { kernelCase } from './case.ts';
import type { Draw } from './case.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 25;
const bound = { abs: 1e-5 };

interface Windows {
  readonly x: number[];
  readonly y: number[];
  readonly attrs: { filterSize: number[]; strides: number[]; pad: 'same' | 'valid' };
}

function windows(fuzz: Fuzz): Windows {
  const filterSize = [fuzz.integer(1, 3), fuzz.integer(1, 3)];
  const strides = [fuzz.integer(1, 3), fuzz.integer(1, 3)];
  const pad = fuzz.pick(['same', 'valid'] as const);
  const sizes = filterSize.map((size) => size + fuzz.pick([0, 1, 4, 5]));
  const out = sizes.map((size, axis) =>
    Math.ceil((pad === 'same' ? size : size - filterSize[axis]! + 1) / strides[axis]!),
  );
  const [batch, channels] = [fuzz.pick([0, 1, 3]), fuzz.pick([1, 3, 17, 40])];
  return {
    x: [batch, ...sizes, channels],
    y: [batch, ...out, channels],
    attrs: { filterSize, strides, pad },
  };
}

function pool(name: 'AvgPool' | 'MaxPool'): Draw {
  return function* draw(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { x, attrs } = windows(fuzz);
      yield kernelCase(name, { x: fuzz.plain(x, fuzz.pick([0, 0.01])) }, attrs, bound);
    }
  };
}

function poolGrad(name: 'AvgPoolGrad' | 'MaxPoolGrad'): Draw {
  return function* draw(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { x, y, attrs } = windows(fuzz);
      // Of the output only the shape matters.
      const inputs = { dy: fuzz.plain(y), input: fuzz.plain(x), output: fuzz.plain(y) };
      yield kernelCase(name, inputs, attrs, bound);
    }
  };
}

function images(fuzz: Fuzz): Data {
  return fuzz.plain([
    fuzz.pick([0, 1, 3]),
    fuzz.integer(1, 9),
    fuzz.integer(1, 9),
    fuzz.pick([1, 3, 20]),
  ]);
}

export const imageCases: Readonly<Record<string, Draw>> = {
  AvgPool: pool('AvgPool'),
  AvgPoolGrad: poolGrad('AvgPoolGrad'),
  *FusedBatchNorm(fuzz) {
    const shapes = Array.from({ length: rounds }, () => [...fuzz.shape(3), fuzz.integer(1, 40)]);
    for (const shape of [[1, 1], [70, 300], ...shapes]) {
      const row = (): Data => fuzz.plain([shape.at(-1)!]);
      const { values, ...rest } = row();
      const inputs = {
        x: fuzz.plain(shape, fuzz.pick([0, 0.01])),
        mean: row(),
        variance: { ...rest, values: values.map((value) => 1.5 + value) },
        ...(fuzz.integer(0, 1) === 1 ? { scale: row() } : {}),
        ...(fuzz.integer(0, 1) === 1 ? { offset: row() } : {}),
      };
      yield kernelCase('FusedBatchNorm', inputs, { varianceEpsilon: 1e-3 }, bound);
    }
  },
  MaxPool: pool('MaxPool'),
  MaxPoolGrad: poolGrad('MaxPoolGrad'),
  *ResizeBilinear(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const size = [fuzz.integer(1, 20), fuzz.integer(1, 20)];
      const [alignCorners, halfPixelCenters] = fuzz.pick([
        [false, false],
        [true, false],
        [false, true],
      ]);
      const attrs = { size, alignCorners, halfPixelCenters };
      yield kernelCase('ResizeBilinear', { images: images(fuzz) }, attrs, bound);
    }
  },
  *ResizeBilinearGrad(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const x = images(fuzz);
      const [batch = 0, , , channels = 0] = x.shape;
      const dy = fuzz.plain([batch, fuzz.integer(1, 20), fuzz.integer(1, 20), channels]);
      // Not of half pixel centres, which tfjs leaves out of its gradient.
      const attrs = { alignCorners: fuzz.pick([true, false]), halfPixelCenters: false };
      const one = kernelCase('ResizeBilinearGrad', { images: x, dy }, attrs, { abs: 1e-4 });
      // tfjs gives the shape with rows and columns exchanged.
      const reference = (): tf.Tensor[] => one.run().map((dx) => tf.reshape(dx, [...x.shape]));
      yield { ...one, reference };
    }
  },
};
