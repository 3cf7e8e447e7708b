// SPDX-License-Identifier: Apache-2.0
// Reductions, softmax and running sums against tfjs's cpu backend, which sums in float64 from first to last: so do ours, in another order.
import { beforeEach, describe, it } from 'vitest';
import { expectSameKernel, Fuzz } from '../test-fuzz.ts';
import type { Data } from '../test-fuzz.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

const rounds = 20;

interface Case {
  readonly shape: number[];
  /** Null and undefined mean all: tf.sum passes null. */
  readonly axis: number[];
  readonly keepDims: boolean;
}

function cases(fuzz: Fuzz): Case[] {
  // Rows and columns in one part and in several, narrow columns, groups of axes that alternate.
  const fixed: [number[], number[] | null][] = [
    [[200_001], null],
    [[3, 70_001], [1]],
    [[2_000, 130], [0]],
    [[130, 2_000], [0]],
    [[40_000, 3], [0]],
    [[4, 9_000, 5], [1]],
    [
      [7, 11, 5, 13],
      [0, 2],
    ],
    [
      [7, 11, 5, 13],
      [1, 3],
    ],
    [
      [2, 3, 2, 3, 2],
      [0, 2, 4],
    ],
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
    axis: axis as number[],
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

describe.skipIf(noAddon)(`fuzz of reductions${skipNote}`, () => {
  beforeEach(useNative);

  it.each(['Sum', 'Mean'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const { shape, ...attrs } of cases(fuzz)) {
      const x = terms(fuzz, shape);
      // The stock mean rounds each quotient before it sums.
      await expectSameKernel(name, { x }, attrs, { ulp: name === 'Sum' ? 1 : 4 });
      await expectSameKernel(name, { x: fuzz.ints(shape) }, attrs, { ulp: 4, abs: 1e-5 });
      await expectSameKernel(name, { x: fuzz.bools(shape) }, attrs, { ulp: 4, abs: 1e-5 });
    }
  });

  it('Sum keeps what cancels to the precision of float64', async () => {
    const values = Float32Array.from(
      { length: 1000 },
      (_, i) => [3e38, 1, -3e38, 2][i % 4] as number,
    );
    const x: Data = { values, shape: [1000], dtype: 'float32' };
    await expectSameKernel('Sum', { x }, {}, { abs: 1e25 });
  });

  it('Prod agrees with tfjs', async () => {
    const fuzz = new Fuzz('Prod');
    for (const { shape, ...attrs } of cases(fuzz)) {
      const { values, ...rest } = fuzz.floats(shape, 0.01, 2);
      await expectSameKernel('Prod', { x: { ...rest, values } }, attrs, { ulp: 1 });
      await expectSameKernel('Prod', { x: fuzz.bools(shape) }, attrs);
      const few = { ...rest, dtype: 'int32' as const, values: fuzz.ints(shape, 1).values };
      await expectSameKernel('Prod', { x: few }, attrs);
    }
  });

  it.each(['Max', 'Min'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const { shape, axis, keepDims } of cases(fuzz)) {
      const attrs = { [name === 'Max' ? 'reductionIndices' : 'axis']: axis, keepDims };
      const specials = fuzz.pick([0, 0.002, 0.1]);
      await expectSameKernel(name, { x: fuzz.floats(shape, specials) }, attrs);
      await expectSameKernel(name, { x: fuzz.ints(shape, 2 ** 31 - 1) }, attrs);
      await expectSameKernel(name, { x: fuzz.bools(shape) }, attrs);
    }
  });

  it.each(['All', 'Any'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const { shape, ...attrs } of cases(fuzz)) {
      await expectSameKernel(name, { x: fuzz.bools(shape) }, attrs);
    }
  });

  it.each(['ArgMax', 'ArgMin'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const shape of axisShapes(fuzz)) {
      const axis = fuzz.integer(-shape.length, shape.length - 1);
      const specials = fuzz.pick([0, 0.05]);
      await expectSameKernel(name, { x: fuzz.floats(shape, specials) }, { axis });
      await expectSameKernel(name, { x: fuzz.ints(shape, 3) }, { axis });
      await expectSameKernel(name, { x: fuzz.bools(shape) }, { axis });
    }
  });

  it.each(['Cumsum', 'Cumprod'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const shape of axisShapes(fuzz)) {
      const axis = fuzz.integer(0, shape.length - 1);
      const attrs = {
        axis,
        exclusive: fuzz.pick([true, false]),
        reverse: fuzz.pick([true, false]),
      };
      await expectSameKernel(name, { x: fuzz.floats(shape, 0.01, 1.2) }, attrs);
      await expectSameKernel(name, { x: fuzz.ints(shape, name === 'Cumsum' ? 20 : 1) }, attrs);
      await expectSameKernel(name, { x: fuzz.bools(shape) }, attrs);
    }
  });

  it('Softmax agrees with tfjs', async () => {
    const fuzz = new Fuzz('Softmax');
    for (const shape of axisShapes(fuzz)) {
      const { values, ...rest } = fuzz.floats(shape, fuzz.pick([0, 0, 0.01]), 8);
      // A difference of huge logits is rounded before it is raised: nothing to compare.
      const logits = { ...rest, values: values.map((x) => (Math.abs(x) < 1e9 ? x % 100 : x)) };
      await expectSameKernel(
        'Softmax',
        { logits },
        { dim: shape.length - 1 },
        { ulp: 4, abs: 1e-44 },
      );
    }
  });
});

function axisShapes(fuzz: Fuzz): number[][] {
  const drawn = Array.from({ length: rounds }, () => fuzz.shape(4));
  return [[1], [30_000], [300, 129], [33, 1_100], [5, 40, 700], ...drawn].filter(
    (shape) => shape.length > 0,
  );
}
