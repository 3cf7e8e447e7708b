// SPDX-License-Identifier: Apache-2.0
// Reductions, softmax and running sums. tfjs sums in float64 from first to last: so do ours, in another order.
import { kernelCase, opCase } from './case.ts';
import type { Draw, FuzzCase } from './case.ts';
import * as tf from '@tensorflow/tfjs-core';
import type { Data, Fuzz } from './draw.ts';

const rounds = 20;

interface Reduction {
  readonly shape: number[];
  /** Null means all: tf.sum passes it. */
  readonly axis: number[] | null;
  readonly keepDims: boolean;
}

function reductions(fuzz: Fuzz): Reduction[] {
  // Rows and columns in one part and in several, narrow columns, groups of axes that alternate.
  const fixed: [number[], number[] | null][] = [
    [[200_001], null],
    [[3, 70_001], [1]],
    [[2_000, 130], [0]],
    [[130, 2_000], [0]],
    [[40_000, 3], [0]],
    [[4, 9_000, 5], [1]],
    [[7, 11, 5, 13], [0, 2]], // prettier-ignore
    [[7, 11, 5, 13], [1, 3]], // prettier-ignore
    [[2, 3, 2, 3, 2], [0, 2, 4]], // prettier-ignore
    [[3, 0], [1]],
    [[0, 3], [1]],
    [[], null],
    [[5], []],
  ];
  const drawn = Array.from({ length: rounds }, (): [number[], number[] | null] => {
    const shape = fuzz.shape(5);
    const axes = [...shape.keys()].filter(() => fuzz.integer(0, 1) === 1);
    return [shape, fuzz.pick([axes, axes.map((axis) => axis - shape.length), null])];
  });
  return [...fixed, ...drawn].map(([shape, axis]) => ({
    shape,
    axis,
    keepDims: fuzz.integer(0, 1) === 1,
  }));
}

/** Positive numbers, so that sums lose nothing to cancellation, with few special ones. */
function terms(fuzz: Fuzz, shape: readonly number[]): Data {
  const { values, ...rest } = fuzz.floats(shape, 0, 1);
  const wild = fuzz.integer(0, 3) === 0;
  const special = wild ? fuzz.floats(shape, 0.002).values : values;
  const positive = Float32Array.from(values, (x, i) => {
    const other = special[i] as number;
    return Number.isFinite(other) ? Math.min(Math.abs(x), 4) : other;
  });
  return { ...rest, values: positive };
}

function sum(name: 'Sum' | 'Mean'): Draw {
  // The stock mean rounds each quotient before it sums.
  const bound = { ulp: name === 'Sum' ? 1 : 4 };
  return function* draw(fuzz) {
    for (const { shape, ...attrs } of reductions(fuzz)) {
      yield kernelCase(name, { x: terms(fuzz, shape) }, attrs, bound);
      yield kernelCase(name, { x: fuzz.ints(shape) }, attrs, { ulp: 4, abs: 1e-5 });
      yield kernelCase(name, { x: fuzz.bools(shape) }, attrs, { ulp: 4, abs: 1e-5 });
    }
    if (name === 'Sum') yield cancellation();
  };
}

/** Sums keep the precision of float64. */
function cancellation(): FuzzCase {
  const four = [3e38, 1, -3e38, 2];
  const values = Float32Array.from({ length: 1000 }, (_, i) => four[i % 4] as number);
  const x: Data = { values, shape: [1000], dtype: 'float32' };
  return kernelCase('Sum', { x }, {}, { abs: 1e25 });
}

function extreme(name: 'Max' | 'Min'): Draw {
  return function* draw(fuzz) {
    for (const { shape, axis, keepDims } of reductions(fuzz)) {
      const attrs = { [name === 'Max' ? 'reductionIndices' : 'axis']: axis, keepDims };
      yield kernelCase(name, { x: fuzz.floats(shape, fuzz.pick([0, 0.002, 0.1])) }, attrs);
      yield kernelCase(name, { x: fuzz.ints(shape, 2 ** 31 - 1) }, attrs);
      yield kernelCase(name, { x: fuzz.bools(shape) }, attrs);
    }
  };
}

function logical(name: 'All' | 'Any'): Draw {
  return function* draw(fuzz) {
    for (const { shape, ...attrs } of reductions(fuzz)) {
      yield kernelCase(name, { x: fuzz.bools(shape) }, attrs);
    }
  };
}

function axisShapes(fuzz: Fuzz): number[][] {
  const drawn = Array.from({ length: rounds }, () => fuzz.shape(4));
  return [[1], [30_000], [300, 129], [33, 1_100], [5, 40, 700], ...drawn].filter(
    (shape) => shape.length > 0,
  );
}

function place(name: 'ArgMax' | 'ArgMin'): Draw {
  return function* draw(fuzz) {
    for (const shape of axisShapes(fuzz)) {
      const axis = fuzz.integer(-shape.length, shape.length - 1);
      yield kernelCase(name, { x: fuzz.floats(shape, fuzz.pick([0, 0.05])) }, { axis });
      yield kernelCase(name, { x: fuzz.ints(shape, 3) }, { axis });
      yield kernelCase(name, { x: fuzz.bools(shape) }, { axis });
    }
  };
}

function cumulative(name: 'Cumsum' | 'Cumprod'): Draw {
  return function* draw(fuzz) {
    for (const shape of axisShapes(fuzz)) {
      const [exclusive, reverse] = [fuzz.pick([true, false]), fuzz.pick([true, false])];
      const attrs = { axis: fuzz.integer(0, shape.length - 1), exclusive, reverse };
      yield kernelCase(name, { x: fuzz.floats(shape, 0.01, 1.2) }, attrs);
      yield kernelCase(name, { x: fuzz.ints(shape, name === 'Cumsum' ? 20 : 1) }, attrs);
      yield kernelCase(name, { x: fuzz.bools(shape) }, attrs);
    }
  };
}

export const reductionCases: Readonly<Record<string, Draw>> = {
  All: logical('All'),
  Any: logical('Any'),
  ArgMax: place('ArgMax'),
  ArgMin: place('ArgMin'),
  Cumprod: cumulative('Cumprod'),
  Cumsum: cumulative('Cumsum'),
  // The gradient of a sum.
  *DmBroadcastTo(fuzz) {
    for (const { shape, axis, keepDims } of reductions(fuzz).slice(4)) {
      const f = fuzz.pick([tf.sum, tf.mean]);
      const op = (x: tf.Tensor): tf.Tensor => f(x, axis ?? undefined, keepDims);
      yield opCase(fuzz, 'sum', [fuzz.plain(shape)], op);
    }
  },
  *DmSoftmaxGrad(fuzz) {
    for (const shape of axisShapes(fuzz)) {
      yield opCase(fuzz, 'softmax', [fuzz.plain(shape)], (x) => tf.softmax(x));
    }
  },
  Max: extreme('Max'),
  Mean: sum('Mean'),
  Min: extreme('Min'),
  *Prod(fuzz) {
    for (const { shape, ...attrs } of reductions(fuzz)) {
      yield kernelCase('Prod', { x: fuzz.floats(shape, 0.01, 2) }, attrs, { ulp: 1 });
      yield kernelCase('Prod', { x: fuzz.bools(shape) }, attrs);
      yield kernelCase('Prod', { x: fuzz.ints(shape, 1) }, attrs);
    }
  },
  *Softmax(fuzz) {
    for (const shape of axisShapes(fuzz)) {
      const { values, ...rest } = fuzz.floats(shape, fuzz.pick([0, 0, 0.01]), 8);
      // A difference of huge logits is rounded before it is raised: nothing to compare.
      const logits = {
        ...rest,
        values: Float32Array.from(values, (x) => (Math.abs(x) < 1e9 ? x % 100 : x)),
      };
      const attrs = { dim: shape.length - 1 };
      yield kernelCase('Softmax', { logits }, attrs, { ulp: 4, abs: 1e-44 });
    }
  },
  Sum: sum('Sum'),
};
