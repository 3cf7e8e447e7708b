// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels. tfjs computes in float64 and rounds once: bounds are the errors stated in native/cpu/simd.
import { kernelCase } from './case.ts';
import type { Bound, Draw } from './case.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 15;

/** A long tensor now and then, for the chunks of several threads. */
function shapes(fuzz: Fuzz): number[][] {
  return [[], [0], [1], [40_001], ...Array.from({ length: rounds }, () => fuzz.shape())];
}

function pairs(fuzz: Fuzz): [number[], number[]][] {
  const fixed: [number[], number[]][] = [
    [[40_001], [40_001]],
    [[300, 129], [129]],
    [[300, 129], [300, 1]], // prettier-ignore
  ];
  return [...fixed, ...Array.from({ length: rounds }, () => fuzz.broadcast())];
}

/** Which dtypes a kernel of one operand takes besides float32, and how far it may be off. */
interface Unary {
  readonly bound?: Bound;
  readonly ints?: boolean;
  readonly bools?: boolean;
}

const exactInts: Unary = { ints: true };
const unary: Readonly<Record<string, Unary>> = {
  Abs: exactInts,
  Ceil: exactInts,
  Cos: { bound: { ulp: 1 } },
  // exp(x) - 1 in float64.
  Elu: { bound: { ulp: 2, abs: 2.3e-16 } },
  // tfjs's own erf is off by up to 1.5e-7.
  Erf: { bound: { abs: 2.5e-7 } },
  Exp: { bound: { ulp: 1.5 }, ints: true, bools: true },
  Expm1: { bound: { ulp: 2 } },
  Floor: exactInts,
  IsFinite: { ints: true, bools: true },
  IsInf: { ints: true, bools: true },
  IsNan: { ints: true, bools: true },
  Log: { bound: { ulp: 1.5 } },
  Log1p: { bound: { ulp: 2 } },
  Neg: exactInts,
  Reciprocal: {},
  Relu: exactInts,
  Relu6: exactInts,
  Round: exactInts,
  Rsqrt: { bound: { ulp: 1.5 } },
  Selu: { bound: { ulp: 3, abs: 4e-16 } },
  Sigmoid: { bound: { ulp: 2.5 } },
  Sign: exactInts,
  Sin: { bound: { ulp: 1 } },
  // tfjs leaves out a term of up to 9e-7 of the result.
  Softplus: { bound: { ulp: 10 } },
  Sqrt: {},
  Square: exactInts,
  Tanh: { bound: { ulp: 2 } },
};

function ofOne(name: string, { bound = {}, ints = false, bools = false }: Unary): Draw {
  return function* draw(fuzz) {
    for (const shape of shapes(fuzz)) {
      yield kernelCase(name, { x: fuzz.floats(shape) }, {}, bound);
      if (ints) yield kernelCase(name, { x: fuzz.ints(shape) }, {}, bound);
      if (bools) yield kernelCase(name, { x: fuzz.bools(shape) }, {}, bound);
    }
  };
}

const comparisons = ['Equal', 'NotEqual', 'Greater', 'GreaterEqual', 'Less', 'LessEqual'];
const arithmetic = ['Add', 'Sub', 'Multiply', 'Maximum', 'Minimum', 'SquaredDifference'];
const numeric = [...arithmetic, ...comparisons, 'FloorDiv', 'Mod', 'Pow'];
const ofFloats = [...numeric, 'RealDiv'];
const ofBools = [...comparisons, 'LogicalAnd', 'LogicalOr', 'Add'];
const bounds: Readonly<Record<string, Bound>> = { Pow: { ulp: 1 }, SquaredDifference: { ulp: 2 } };

function ofTwo(name: string): Draw {
  const bound = bounds[name] ?? {};
  return function* draw(fuzz) {
    for (const [a, b] of pairs(fuzz)) {
      if (ofFloats.includes(name)) {
        yield kernelCase(name, { a: fuzz.floats(a), b: fuzz.floats(b) }, {}, bound);
      }
      if (numeric.includes(name)) {
        const right = fuzz.ints(b, name === 'Pow' ? 5 : 20);
        yield kernelCase(name, { a: fuzz.ints(a), b: right });
      }
      if (ofBools.includes(name)) yield kernelCase(name, { a: fuzz.bools(a), b: fuzz.bools(b) });
    }
    if (name !== 'Pow') return;
    for (const exponent of [2, 3, 0.5, -1, -2, 0, 1, Infinity, -Infinity, Number.NaN]) {
      const b: Data = { values: Float32Array.of(exponent), shape: [], dtype: 'float32' };
      yield kernelCase(name, { a: fuzz.floats([300], 0.3), b }, {}, bound);
    }
  };
}

const others: Readonly<Record<string, Draw>> = {
  *AddN(fuzz) {
    for (const shape of shapes(fuzz)) {
      const many = Array.from({ length: fuzz.integer(1, 5) }, () => fuzz.floats(shape));
      yield kernelCase('AddN', many);
      yield kernelCase('AddN', [fuzz.ints(shape), fuzz.ints(shape)]);
    }
  },
  *Cast(fuzz) {
    for (const shape of shapes(fuzz)) {
      for (const dtype of ['float32', 'int32', 'bool']) {
        yield kernelCase('Cast', { x: fuzz.floats(shape, 0.3, 5e9) }, { dtype });
        yield kernelCase('Cast', { x: fuzz.ints(shape, 2 ** 31 - 1) }, { dtype });
        yield kernelCase('Cast', { x: fuzz.bools(shape) }, { dtype });
      }
    }
  },
  *ClipByValue(fuzz) {
    for (const shape of shapes(fuzz)) {
      const attrs = { clipValueMin: -1.3, clipValueMax: fuzz.pick([2.7, Infinity]) };
      yield kernelCase('ClipByValue', { x: fuzz.floats(shape) }, attrs);
      yield kernelCase('ClipByValue', { x: fuzz.ints(shape) }, attrs);
    }
  },
  *EluGrad(fuzz) {
    for (const shape of shapes(fuzz)) {
      const inputs = { dy: fuzz.floats(shape), y: fuzz.floats(shape) };
      yield kernelCase('EluGrad', inputs, {}, { ulp: 2 });
    }
  },
  *LeakyRelu(fuzz) {
    for (const shape of shapes(fuzz)) {
      yield kernelCase('LeakyRelu', { x: fuzz.floats(shape) }, { alpha: 0.2 }, { ulp: 2 });
      yield kernelCase('LeakyRelu', { x: fuzz.ints(shape) }, { alpha: 0.2 }, { ulp: 2 });
    }
  },
  *LogicalNot(fuzz) {
    for (const shape of shapes(fuzz)) yield kernelCase('LogicalNot', { x: fuzz.bools(shape) });
  },
  *Prelu(fuzz) {
    for (const shape of shapes(fuzz)) {
      yield kernelCase('Prelu', { x: fuzz.floats(shape), alpha: fuzz.floats(shape.slice(1)) });
    }
  },
  *Select(fuzz) {
    for (const shape of shapes(fuzz)) {
      const condition = fuzz.bools(shape);
      const [t, e] = [fuzz.floats(shape), fuzz.floats(shape)];
      yield kernelCase('Select', { condition, t, e });
      yield kernelCase('Select', { condition, t: fuzz.ints(shape), e: fuzz.ints(shape) });
      yield kernelCase('Select', { condition, t: fuzz.bools(shape), e: fuzz.bools(shape) });
    }
  },
  *Step(fuzz) {
    for (const shape of shapes(fuzz)) {
      yield kernelCase('Step', { x: fuzz.floats(shape) }, { alpha: fuzz.pick([0, 0.5, -2]) });
    }
  },
};

const names = [...new Set([...ofFloats, ...ofBools])];

export const elementwise: Readonly<Record<string, Draw>> = {
  ...Object.fromEntries(Object.entries(unary).map(([name, kind]) => [name, ofOne(name, kind)])),
  ...Object.fromEntries(names.map((name) => [name, ofTwo(name)])),
  ...others,
};
