// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels against tfjs's cpu backend, which computes in float64 and rounds once: bounds are the errors stated in native/cpu/simd.
import { beforeEach, describe, it } from 'vitest';
import { expectSameKernel, Fuzz } from '../test-fuzz.ts';
import type { Bound, Data } from '../test-fuzz.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

const rounds = 15;

/** A long tensor now and then, for the chunks of several threads. */
function shapes(fuzz: Fuzz): number[][] {
  return [[], [0], [40_001], ...Array.from({ length: rounds }, () => fuzz.shape())];
}

describe.skipIf(noAddon)(`fuzz of elementwise kernels${skipNote}`, () => {
  beforeEach(useNative);

  const unary: readonly [string, Bound][] = [
    ['Abs', {}],
    ['Ceil', {}],
    ['Cos', { ulp: 1 }],
    // exp(x) - 1 in float64.
    ['Elu', { ulp: 2, abs: 2.3e-16 }],
    // tfjs's own erf is off by up to 1.5e-7.
    ['Erf', { abs: 2.5e-7 }],
    ['Exp', { ulp: 1.5 }],
    ['Expm1', { ulp: 2 }],
    ['Floor', {}],
    ['IsFinite', {}],
    ['IsInf', {}],
    ['IsNan', {}],
    ['Log', { ulp: 1.5 }],
    ['Log1p', { ulp: 2 }],
    ['Neg', {}],
    ['Reciprocal', {}],
    ['Relu', {}],
    ['Relu6', {}],
    ['Round', {}],
    ['Rsqrt', { ulp: 1.5 }],
    ['Selu', { ulp: 3, abs: 4e-16 }],
    ['Sigmoid', { ulp: 2.5 }],
    ['Sign', {}],
    ['Sin', { ulp: 1 }],
    // tfjs leaves out a term of up to 9e-7 of the result.
    ['Softplus', { ulp: 10 }],
    ['Sqrt', {}],
    ['Square', {}],
    ['Tanh', { ulp: 2 }],
  ];
  it.each(unary)('%s agrees with tfjs', async (name, bound) => {
    const fuzz = new Fuzz(name);
    for (const shape of shapes(fuzz)) {
      await expectSameKernel(name, { x: fuzz.floats(shape) }, {}, bound);
    }
  });

  it.each(['Abs', 'Ceil', 'Floor', 'Neg', 'Relu', 'Relu6', 'Round', 'Sign', 'Square'])(
    '%s of int32 agrees with tfjs',
    async (name) => {
      const fuzz = new Fuzz(`${name}.int32`);
      for (const shape of shapes(fuzz)) await expectSameKernel(name, { x: fuzz.ints(shape) }, {});
    },
  );

  it.each(['IsFinite', 'IsInf', 'IsNan', 'Exp'])('%s of int32 and bool agrees', async (name) => {
    const fuzz = new Fuzz(`${name} of integers`);
    for (const shape of shapes(fuzz)) {
      await expectSameKernel(name, { x: fuzz.ints(shape) }, {}, { ulp: 1.5 });
      await expectSameKernel(name, { x: fuzz.bools(shape) }, {}, { ulp: 1.5 });
    }
  });

  it('kernels with attributes agree with tfjs', async () => {
    const fuzz = new Fuzz('attributes');
    for (const shape of shapes(fuzz)) {
      const x = fuzz.floats(shape);
      const bounds = { clipValueMin: -1.3, clipValueMax: fuzz.pick([2.7, Infinity]) };
      await expectSameKernel('ClipByValue', { x }, bounds);
      await expectSameKernel('ClipByValue', { x: fuzz.ints(shape) }, bounds);
      await expectSameKernel('Step', { x }, { alpha: fuzz.pick([0, 0.5, -2]) });
      await expectSameKernel('LeakyRelu', { x }, { alpha: 0.2 }, { ulp: 2 });
      await expectSameKernel('LeakyRelu', { x: fuzz.ints(shape) }, { alpha: 0.2 }, { ulp: 2 });
      await expectSameKernel('LogicalNot', { x: fuzz.bools(shape) }, {});
    }
  });

  const comparisons = ['Equal', 'NotEqual', 'Greater', 'GreaterEqual', 'Less', 'LessEqual'];
  const arithmetic = ['Add', 'Sub', 'Multiply', 'Maximum', 'Minimum', 'SquaredDifference'];
  const numeric = [...arithmetic, ...comparisons, 'FloorDiv', 'Mod', 'Pow'];
  const bound = { Pow: { ulp: 1 }, SquaredDifference: { ulp: 2 } } as Record<string, Bound>;

  it.each([...numeric, 'RealDiv'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    for (const [left, right] of pairs(fuzz)) {
      await expectSameKernel(
        name,
        { a: fuzz.floats(left), b: fuzz.floats(right) },
        {},
        bound[name],
      );
    }
  });

  it.each(numeric)('%s of int32 agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(`${name} of int32`);
    for (const [left, right] of pairs(fuzz)) {
      const b = fuzz.ints(right, name === 'Pow' ? 5 : 20);
      await expectSameKernel(name, { a: fuzz.ints(left), b }, {});
    }
  });

  it.each([...comparisons, 'LogicalAnd', 'LogicalOr', 'Add'])('%s of bool agrees', async (name) => {
    const fuzz = new Fuzz(`${name} of bool`);
    for (const [left, right] of pairs(fuzz)) {
      await expectSameKernel(name, { a: fuzz.bools(left), b: fuzz.bools(right) }, {});
    }
  });

  it('Pow with one exponent agrees with tfjs', async () => {
    const fuzz = new Fuzz('exponents');
    for (const exponent of [2, 3, 0.5, -1, -2, 0, 1, Infinity, -Infinity, Number.NaN]) {
      const b: Data = { values: Float32Array.of(exponent), shape: [], dtype: 'float32' };
      await expectSameKernel('Pow', { a: fuzz.floats([300], 0.3), b }, {}, { ulp: 1 });
    }
  });

  it('gradients and sums of many agree with tfjs', async () => {
    const fuzz = new Fuzz('others');
    for (const shape of shapes(fuzz)) {
      const [x, y] = [fuzz.floats(shape), fuzz.floats(shape)];
      await expectSameKernel('EluGrad', { dy: x, y }, {}, { ulp: 2 });
      await expectSameKernel('Prelu', { x, alpha: fuzz.floats(shape.slice(1)) }, {});
      const many = Array.from({ length: fuzz.integer(1, 5) }, () => fuzz.floats(shape));
      await expectSameKernel('AddN', many, {});
      await expectSameKernel('AddN', [fuzz.ints(shape), fuzz.ints(shape)], {});
    }
  });

  it('Select agrees with tfjs', async () => {
    const fuzz = new Fuzz('Select');
    for (const shape of shapes(fuzz)) {
      const condition = fuzz.bools(shape);
      await expectSameKernel(
        'Select',
        { condition, t: fuzz.floats(shape), e: fuzz.floats(shape) },
        {},
      );
      await expectSameKernel('Select', { condition, t: fuzz.ints(shape), e: fuzz.ints(shape) }, {});
      await expectSameKernel(
        'Select',
        { condition, t: fuzz.bools(shape), e: fuzz.bools(shape) },
        {},
      );
    }
  });

  it('Cast agrees with tfjs', async () => {
    const fuzz = new Fuzz('Cast');
    for (const shape of shapes(fuzz)) {
      for (const dtype of ['float32', 'int32', 'bool']) {
        await expectSameKernel('Cast', { x: fuzz.floats(shape, 0.3, 5e9) }, { dtype });
        await expectSameKernel('Cast', { x: fuzz.ints(shape, 2 ** 31 - 1) }, { dtype });
        await expectSameKernel('Cast', { x: fuzz.bools(shape) }, { dtype });
      }
    }
  });
});

function pairs(fuzz: Fuzz): [number[], number[]][] {
  return [
    [[40_001], [40_001]],
    [[300, 129], [129]],
    [
      [300, 129],
      [300, 1],
    ],
    ...Array.from({ length: rounds }, () => fuzz.broadcast()),
  ];
}
