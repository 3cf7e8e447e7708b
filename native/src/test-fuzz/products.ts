// SPDX-License-Identifier: Apache-2.0
// Matrix products. tfjs sums in float64, ours in float32: bounds grow with the terms of a sum.
import { kernelCase } from './case.ts';
import type { Draw, FuzzCase } from './case.ts';
import { sizeOf } from './draw.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 25;

interface Product {
  readonly a: Data;
  readonly b: Data;
  readonly n: number;
  readonly batch: readonly number[];
  readonly attrs: { readonly transposeA: boolean; readonly transposeB: boolean };
  readonly bound: { readonly abs: number };
}

function* products(fuzz: Fuzz): Generator<Product> {
  const lengths = [0, 1, 2, 3, 8, 17, 33];
  const drawn = Array.from({ length: rounds }, () =>
    lengths.slice(0, 3).map(() => fuzz.pick(lengths)),
  );
  for (const [m = 1, k = 1, n = 1] of [[1, 1, 1], [130, 300, 70], [600, 40, 90], ...drawn]) {
    const [transposeA, transposeB] = [fuzz.pick([true, false]), fuzz.pick([true, false])];
    const small = m * n * k < 40_000;
    const [aBatch, bBatch] = small ? batches(fuzz) : [[1], [1]];
    const wild = fuzz.pick([0, 0, 0.002]);
    yield {
      a: fuzz.plain([...aBatch, ...(transposeA ? [k, m] : [m, k])], wild),
      b: fuzz.plain([...bBatch, ...(transposeB ? [n, k] : [k, n])], wild),
      n,
      batch: aBatch.map((length, i) => (length === 1 ? bBatch[i]! : length)),
      attrs: { transposeA, transposeB },
      bound: { abs: 2e-7 * Math.max(4, k) },
    };
  }
}

/** Batch axes of one rank that broadcast. */
function batches(fuzz: Fuzz): [number[], number[]] {
  const shape = Array.from({ length: fuzz.integer(1, 2) }, () => fuzz.integer(1, 4));
  const shrink = (): number[] => shape.map((length) => (fuzz.integer(0, 3) === 0 ? 1 : length));
  return fuzz.pick([
    [shape, shape],
    [shape, shrink()],
    [shrink(), shape],
  ]);
}

/** Equations that tfjs's kernel gets right (kernels/einsum.test.ts has the others). */
const equations = [
  '->',
  'ab->ba',
  'abc->',
  'abcd->ca',
  ',ab->ba',
  'a,a->',
  'a,b->ab',
  'ab,bc->ac',
  'ba,bc->ca',
  'abc,abc->ab',
  'abc,acd->abd',
  'abcd,bacd->ad',
  'bqhd,bkhd->bhqk',
];

/** A product whose reference has operands of all batch axes: tfjs's kernel pairs other matrices where both broadcast. */
function productCase(
  name: string,
  { a, b, batch, bound }: Product,
  more: Readonly<Record<string, Data>>,
  attrs: Readonly<Record<string, unknown>>,
): FuzzCase {
  const one = kernelCase(name, { a, b, ...more }, attrs, bound);
  const whole = { a: repeated(a, batch), b: repeated(b, batch), ...more };
  return { ...one, reference: kernelCase(name, whole, attrs).run };
}

/** Matrices with these batch axes, of the same rank. */
function repeated({ values, shape, dtype }: Data, batch: readonly number[]): Data {
  const wide = [...batch, ...shape.slice(-2)];
  const copy = Float32Array.from({ length: sizeOf(wide) }, (_, i) => {
    let [from, rest, step] = [0, i, 1];
    for (let axis = wide.length - 1; axis >= 0; axis--) {
      if (shape[axis] !== 1) from += (rest % wide[axis]!) * step;
      rest = Math.floor(rest / wide[axis]!);
      step *= shape[axis]!;
    }
    return values[from]!;
  });
  return { values: copy, shape: wide, dtype };
}

export const productCases: Readonly<Record<string, Draw>> = {
  *BatchMatMul(fuzz) {
    for (const one of products(fuzz)) yield productCase('BatchMatMul', one, {}, one.attrs);
  },
  *Einsum(fuzz) {
    for (const equation of equations.flatMap((one) => [one, one])) {
      const lengths = new Map(equation.split('').map((label) => [label, fuzz.integer(1, 7)]));
      const terms = equation.split('->')[0]!.split(',');
      const shapes = terms.map((term) => term.split('').map((label) => lengths.get(label)!));
      const wild = fuzz.pick([0, 0.01]);
      const floats = shapes.map((shape) => fuzz.plain(shape, wild));
      yield kernelCase('Einsum', floats, { equation }, { abs: 1e-5 });
      const ints = shapes.map((shape) => fuzz.ints(shape));
      yield kernelCase('Einsum', ints, { equation });
    }
  },
  *_FusedMatMul(fuzz) {
    for (const one of products(fuzz)) {
      const kinds = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'];
      const activation = fuzz.pick(kinds);
      const more = {
        ...(fuzz.integer(0, 2) === 0 ? {} : { bias: fuzz.plain(fuzz.pick([[one.n], [1]])) }),
        ...(activation === 'prelu' ? { preluActivationWeights: fuzz.plain([one.n]) } : {}),
      };
      const attrs = { ...one.attrs, activation, leakyreluAlpha: 0.3 };
      yield productCase('_FusedMatMul', one, more, attrs);
    }
  },
};
