// SPDX-License-Identifier: Apache-2.0
// Kernels that read or write through indices.
import * as tf from '@tensorflow/tfjs-core';
import { kernelCase, opCase, upload } from './case.ts';
import type { Draw } from './case.ts';
import { sizeOf } from './draw.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 30;

/** Of at least one element. */
function whole(fuzz: Fuzz, rank: number): number[] {
  return [fuzz.integer(1, 6), ...fuzz.shape(rank - 1)].map((length) => Math.max(1, length));
}

/** A tensor's shape, indices int32 [count, rank] into its first `rank` axes, and the shape of the slices. */
function places(fuzz: Fuzz): { shape: number[]; indices: Data; slices: number[] } {
  const shape = whole(fuzz, 4);
  const rank = fuzz.integer(1, shape.length);
  const count = fuzz.integer(1, 12);
  const rows = Array.from({ length: count }, () =>
    shape.slice(0, rank).map((length) => fuzz.integer(0, length - 1)),
  );
  const indices: Data = {
    values: Int32Array.from(rows.flat()),
    shape: [count, rank],
    dtype: 'int32',
  };
  return { shape, indices, slices: [count, ...shape.slice(rank)] };
}

/** Indices of as many slices as a device sorts rather than looks through. */
function manyIndices(fuzz: Fuzz, limit: number): Data {
  return fuzz.indices([3000], limit);
}

/** Whole numbers, whose sums are exact in any order. */
function wholeFloats(fuzz: Fuzz, shape: number[], most: number): Data {
  const ints = fuzz.ints(shape, most);
  return { ...ints, values: Float32Array.from(ints.values), dtype: 'float32' };
}

export const indexCases: Readonly<Record<string, Draw>> = {
  *DmGatherV2Grad(fuzz) {
    for (let i = 0; i < 15; i++) {
      const shape = whole(fuzz, 3);
      const axis = fuzz.integer(0, shape.length - 1);
      const indices = fuzz.indices([fuzz.integer(1, 5)], shape[axis]!);
      const op = (x: tf.Tensor): tf.Tensor => tf.gather(x, upload(indices), axis);
      yield opCase(fuzz, `gather along ${axis}`, [fuzz.plain(shape)], op);
    }
    const indices = manyIndices(fuzz, 700);
    const op = (x: tf.Tensor): tf.Tensor => tf.gather(x, upload(indices));
    yield opCase(fuzz, 'gather many', [fuzz.plain([700, 3])], op);
  },
  *GatherNd(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { shape, indices } = places(fuzz);
      yield kernelCase('GatherNd', { params: fuzz.any(shape), indices });
    }
  },
  *GatherV2(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = whole(fuzz, 4);
      const axis = fuzz.integer(0, shape.length - 1);
      const batchDims = fuzz.integer(0, axis);
      const rest = Array.from({ length: fuzz.integer(0, 2) }, () => fuzz.pick([0, 1, 2, 3, 40]));
      const indices = fuzz.indices([...shape.slice(0, batchDims), ...rest], shape[axis]!);
      yield kernelCase('GatherV2', { x: fuzz.any(shape), indices }, { axis, batchDims });
    }
  },
  *OneHot(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(3);
      const depth = fuzz.pick([1, 2, 3, 5, 300]);
      const { values } = fuzz.indices(shape, depth + 4);
      const indices: Data = { values: values.map((value) => value - 2), shape, dtype: 'int32' };
      const dtype = fuzz.pick(['float32', 'int32', 'bool']);
      const [onValue, offValue] = dtype === 'bool' ? [1, 0] : [fuzz.integer(0, 3), -1];
      yield kernelCase('OneHot', { indices }, { depth, onValue, offValue, dtype });
    }
  },
  *ScatterNd(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { shape, indices, slices } = places(fuzz);
      const updates = fuzz.pick([fuzz.plain(slices), fuzz.ints(slices)]);
      yield kernelCase('ScatterNd', { indices, updates }, { shape }, { abs: 1e-6 });
    }
    const indices: Data = { values: Int32Array.of(2, 0, 2, 2, 6), shape: [5, 1], dtype: 'int32' };
    const inputs = { indices, updates: fuzz.plain([5, 1000]) };
    yield kernelCase('ScatterNd', inputs, { shape: [7, 1000] }, { abs: 1e-6 });
    const many = { ...manyIndices(fuzz, 40), shape: [3000, 1] };
    for (const updates of [wholeFloats(fuzz, [3000, 2], 9), fuzz.ints([3000, 2])]) {
      yield kernelCase('ScatterNd', { indices: many, updates }, { shape: [40, 2] });
    }
  },
  *TensorScatterUpdate(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { shape, indices, slices } = places(fuzz);
      const [tensor, updates] = fuzz.pick([
        [fuzz.floats(shape), fuzz.floats(slices)],
        [fuzz.ints(shape), fuzz.ints(slices)],
        [fuzz.bools(shape), fuzz.bools(slices)],
      ]) as [Data, Data];
      yield kernelCase('TensorScatterUpdate', { tensor, indices, updates });
    }
    const many = { ...manyIndices(fuzz, 500), shape: [3000, 1] };
    const inputs = { tensor: fuzz.floats([500, 3]), updates: fuzz.floats([3000, 3]) };
    yield kernelCase('TensorScatterUpdate', { ...inputs, indices: many });
  },
  *TopK(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = whole(fuzz, 3);
      const x = fuzz.pick([fuzz.ints(shape, 5), wholeFloats(fuzz, shape, 5)]);
      yield kernelCase('TopK', { x }, { k: fuzz.integer(0, shape.at(-1)!), sorted: true });
    }
    for (const k of [100, 2500, 3000]) {
      for (const x of [wholeFloats(fuzz, [2, 3000], 500), fuzz.ints([2, 3000])]) {
        yield kernelCase('TopK', { x }, { k, sorted: true });
      }
    }
  },
  *UnsortedSegmentSum(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = whole(fuzz, 3);
      const numSegments = fuzz.integer(1, 6);
      const { values } = fuzz.indices([shape[0]!], numSegments + 2);
      const ids: Data = { values: values.map((id) => id - 1), shape: [shape[0]!], dtype: 'int32' };
      const inputs = { x: fuzz.plain(shape), segmentIds: ids };
      const abs = 1e-6 * sizeOf([shape[0]!]);
      yield kernelCase('UnsortedSegmentSum', inputs, { numSegments }, { abs });
    }
    const inputs = { x: wholeFloats(fuzz, [3000, 2], 9), segmentIds: manyIndices(fuzz, 50) };
    yield kernelCase('UnsortedSegmentSum', inputs, { numSegments: 45 });
  },
};
