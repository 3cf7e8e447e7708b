// SPDX-License-Identifier: Apache-2.0
// Kernels that move values or make them from nothing: exact.
import * as tf from '@tensorflow/tfjs-core';
import { kernelCase, upload } from './case.ts';
import type { Draw, FuzzCase } from './case.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 30;

/** Shapes of 1 to 4 axes, the last ones long. */
function shapes(fuzz: Fuzz): number[][] {
  const drawn = Array.from({ length: rounds }, () => [fuzz.pick([0, 1, 2, 5]), ...fuzz.shape(3)]);
  return [[1], [0], [3, 40_000], [70, 33, 20], ...drawn];
}

/** Cases of one tensor of any dtype. */
function each(f: (fuzz: Fuzz, x: Data, shape: readonly number[]) => FuzzCase): Draw {
  return function* draw(fuzz) {
    for (const shape of shapes(fuzz)) yield f(fuzz, fuzz.any(shape), shape);
  };
}

/** A case that is more than one kernel of one call. */
function program(title: string, run: () => tf.Tensor[], reference = run): FuzzCase {
  return { title, run, reference, bound: {} };
}

const size = (shape: readonly number[]): number => shape.reduce((n, length) => n * length, 1);

function complexPart(part: typeof tf.real): Draw {
  return function* draw(fuzz) {
    for (const shape of shapes(fuzz)) {
      const [re, im] = [fuzz.floats(shape), fuzz.floats(shape)];
      yield program('part of a complex tensor', () => [part(tf.complex(upload(re), upload(im)))]);
    }
  };
}

/** Parts that agree but for an axis. */
function parts(fuzz: Fuzz): { tensors: Data[]; axis: number } {
  const shape = fuzz.shape(3);
  const axis = fuzz.integer(0, shape.length);
  const of = fuzz.pick([fuzz.floats.bind(fuzz), fuzz.ints.bind(fuzz), fuzz.bools.bind(fuzz)]);
  const tensors = Array.from({ length: fuzz.integer(1, 5) }, () =>
    of([...shape.slice(0, axis), fuzz.pick([0, 1, 2, 5, 40]), ...shape.slice(axis)]),
  );
  return { tensors, axis };
}

export const shapeCases: Readonly<Record<string, Draw>> = {
  BroadcastTo: each((fuzz, _, shape) => {
    const narrow = shape.map((length) => (fuzz.integer(0, 1) === 1 ? 1 : length));
    const x = fuzz.any(narrow.slice(fuzz.integer(0, 1)));
    const whole = shape.map((length) => Math.max(1, length));
    const fits = shape.includes(0) ? fuzz.any(whole.slice(1)) : x;
    const run = (): tf.Tensor[] => [
      tf.engine().runKernel('BroadcastTo', { x: upload(fits) }, { shape: whole }),
    ];
    return program('BroadcastTo', run, () => [tf.broadcastTo(upload(fits), whole)]);
  }),
  *Complex(fuzz) {
    for (const shape of shapes(fuzz)) {
      yield kernelCase('Complex', { real: fuzz.floats(shape), imag: fuzz.floats(shape) });
    }
  },
  *Concat(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const { tensors, axis } = parts(fuzz);
      yield kernelCase('Concat', tensors, { axis });
    }
    const long = [3, 40_000, 7].map((length) => fuzz.floats([3, length]));
    yield kernelCase('Concat', long, { axis: 1 });
  },
  ExpandDims: each((fuzz, x, shape) =>
    kernelCase('ExpandDims', { input: x }, { dim: fuzz.integer(-1, shape.length) }),
  ),
  *Fill(fuzz) {
    for (const shape of shapes(fuzz)) {
      const [dtype, value] = fuzz.pick([
        ['float32', fuzz.pick([0.5, Number.NaN, -Infinity, 1e-40])],
        ['int32', fuzz.integer(-9, 9)],
        ['bool', 1],
      ] as const);
      yield kernelCase('Fill', {}, { shape, value, dtype });
    }
  },
  Identity: each((_, x) => kernelCase('Identity', { x })),
  Imag: complexPart(tf.imag),
  *LinSpace(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const attrs = { start: fuzz.integer(-9, 9), stop: fuzz.integer(-9, 9) };
      // tfjs adds up rounded steps.
      const num = fuzz.pick([1, 2, 5, 1000]);
      yield kernelCase('LinSpace', {}, { ...attrs, num }, { abs: 1e-3 });
    }
  },
  MirrorPad: each((fuzz, _, shape) => {
    const mode = fuzz.pick(['reflect', 'symmetric']);
    const whole = shape.slice(0, 3).map((length) => Math.min(70, Math.max(1, length)));
    const paddings = whole.map((length) => {
      const most = mode === 'reflect' ? length - 1 : length;
      return [fuzz.integer(0, most), fuzz.integer(0, most)];
    });
    return kernelCase('MirrorPad', { x: fuzz.any(whole) }, { paddings, mode });
  }),
  OnesLike: each((_, x) => kernelCase('OnesLike', { x })),
  *Pack(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(3);
      const of = fuzz.pick([fuzz.floats.bind(fuzz), fuzz.ints.bind(fuzz), fuzz.bools.bind(fuzz)]);
      const tensors = Array.from({ length: fuzz.integer(1, 20) }, () => of(shape));
      yield kernelCase('Pack', tensors, { axis: fuzz.integer(0, shape.length) });
    }
  },
  PadV2: each((fuzz, x, shape) => {
    const paddings = shape.map(() => [fuzz.integer(0, 3), fuzz.pick([0, 1, 20])]);
    const constantValue = x.dtype === 'bool' ? fuzz.integer(0, 1) : fuzz.integer(-3, 3);
    const small = size(shape) < 10_000;
    return kernelCase('PadV2', { x }, {
      paddings: small ? paddings : shape.map(() => [1, 0]),
      constantValue,
    }); // prettier-ignore
  }),
  *Range(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const [start, stop] = [fuzz.integer(-20, 20), fuzz.pick([-30, 3, 20, 20_000])];
      const step = fuzz.pick([1, -1, 2, -3]);
      yield kernelCase('Range', {}, { start, stop, step, dtype: fuzz.pick(['float32', 'int32']) });
    }
  },
  Real: complexPart(tf.real),
  Reshape: each((fuzz, x, shape) => {
    const at = fuzz.integer(0, shape.length - 1);
    const merged = [...shape.slice(0, at), size(shape.slice(at))];
    return kernelCase('Reshape', { x }, { shape: merged });
  }),
  Reverse: each((fuzz, x, shape) => {
    const dims = [...shape.keys()].filter(() => fuzz.integer(0, 1) === 1);
    return kernelCase('Reverse', { x }, { dims });
  }),
  Slice: each((fuzz, x, shape) => {
    const begin = shape.map((length) => fuzz.integer(0, length));
    const lengths = shape.map((length, axis) => fuzz.integer(0, length - begin[axis]!));
    return kernelCase('Slice', { x }, { begin, size: lengths });
  }),
  *SplitV(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = [...fuzz.shape(2), 0, ...fuzz.shape(1)];
      const axis = shape.indexOf(0);
      const sizes = Array.from({ length: fuzz.integer(1, 5) }, () => fuzz.pick([0, 1, 2, 5, 40]));
      shape[axis] = sizes.reduce((sum, length) => sum + length);
      yield kernelCase('SplitV', { x: fuzz.any(shape) }, { numOrSizeSplits: sizes, axis });
    }
    const numOrSizeSplits = [20_000, 30_000];
    yield kernelCase('SplitV', { x: fuzz.floats([2, 50_000]) }, { numOrSizeSplits, axis: 1 });
  },
  StridedSlice: each((fuzz, x, shape) => {
    const strides = shape.map(() => fuzz.pick([-3, -2, -1, 1, 1, 2, 3]));
    const [begin, end] = [0, 1].map(() => shape.map((n) => fuzz.integer(-n, n)));
    const [beginMask, endMask] = [0, 1].map(() => fuzz.integer(0, 2 ** shape.length - 1));
    const masks = { ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 };
    return kernelCase('StridedSlice', { x }, { begin, end, strides, beginMask, endMask, ...masks });
  }),
  Tile: each((fuzz, x, shape) => {
    const reps = shape.map(() => fuzz.pick([0, 1, 1, 2, 3]));
    return kernelCase('Tile', { x }, { reps });
  }),
  Transpose: each((fuzz, x, shape) =>
    kernelCase('Transpose', { x }, { perm: fuzz.order(shape.length) }),
  ),
  *Unpack(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const shape = fuzz.shape(2);
      const axis = fuzz.integer(0, shape.length);
      const value = fuzz.any([...shape.slice(0, axis), fuzz.integer(1, 9), ...shape.slice(axis)]);
      yield kernelCase('Unpack', { value }, { axis });
    }
  },
  ZerosLike: each((_, x) => kernelCase('ZerosLike', { x })),
};
