// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels of one operand. Combinations of kernel and dtype that are not here are left to tfjs.
import type { DataType, NamedAttrMap } from '@tensorflow/tfjs-core';
import { withCast } from './cast.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

type Outcome = ReturnType<NativeKernel['run']>;

interface Unary {
  /** Dtype of the result; default that of the operand. */
  readonly result?: DataType;
  /**
   * What is done to int32: an op of its own, nothing at all (the function keeps integers), or a conversion to float32. A conversion
   * is made of bool too.
   */
  readonly int32?: 'own op' | 'kept' | 'as float32';
  /** Numbers for the op; null where it cannot take them. */
  readonly attributes?: (attrs: NamedAttrMap, dtype: DataType) => number[] | null;
}

const kernels: Readonly<Record<string, Unary>> = {
  Abs: { int32: 'own op' },
  Ceil: { int32: 'kept' },
  ClipByValue: { int32: 'own op', attributes: bounds },
  Cos: {},
  Elu: {},
  Erf: {},
  Exp: { result: 'float32', int32: 'as float32' },
  Expm1: {},
  Floor: { int32: 'kept' },
  IsFinite: { result: 'bool', int32: 'as float32' },
  IsInf: { result: 'bool', int32: 'as float32' },
  IsNan: { result: 'bool', int32: 'as float32' },
  LeakyRelu: { result: 'float32', int32: 'as float32', attributes: alpha },
  Log: {},
  Log1p: {},
  Neg: { int32: 'own op' },
  Reciprocal: {},
  Relu: { int32: 'own op' },
  Relu6: { int32: 'own op' },
  Round: { int32: 'kept' },
  Rsqrt: {},
  Selu: {},
  Sigmoid: {},
  Sign: { int32: 'own op' },
  Sin: {},
  Softplus: {},
  Sqrt: {},
  Square: { int32: 'own op' },
  Step: { attributes: alpha },
  Tanh: {},
};

function unary(name: string, kernel: Unary, call: KernelCall): Outcome {
  const { backend, attrs } = call;
  const x = input(call, 'x');
  const { shape, dtype } = x;
  const attributes = kernel.attributes?.(attrs, dtype) ?? (kernel.attributes ? null : []);
  if (attributes === null) return null;
  const output = { shape, dtype: kernel.result ?? dtype };
  const numbers = [sizeOf(x), ...attributes];
  if (dtype === 'float32') return backend.execute(name, [x], output, numbers);
  if (kernel.int32 === 'as float32' && (dtype === 'int32' || dtype === 'bool')) {
    return withCast(backend, x, 'float32', (floats) =>
      backend.execute(name, [floats], output, numbers),
    );
  }
  if (dtype !== 'int32') return null;
  if (kernel.int32 === 'kept') return backend.alias(x);
  if (kernel.int32 === 'own op') return backend.execute(`${name}.int32`, [x], output, numbers);
  return null;
}

function alpha(attrs: NamedAttrMap): number[] {
  return [attrs['alpha'] as number];
}

/** For int32 the nearest bounds that it has: what is stored of a bound between integers is the integer towards zero. */
function bounds(attrs: NamedAttrMap, dtype: DataType): number[] | null {
  const values = [attrs['clipValueMin'] as number, attrs['clipValueMax'] as number];
  if (dtype !== 'int32') return values;
  if (values.some(Number.isNaN)) return null;
  return values.map((value) => Math.min(Math.max(Math.trunc(value), -(2 ** 31)), 2 ** 31 - 1));
}

function logicalNot(call: KernelCall): Outcome {
  const x = input(call, 'x');
  if (x.dtype !== 'bool') return null;
  return call.backend.execute('LogicalNot', [x], { shape: x.shape, dtype: 'bool' }, [sizeOf(x)]);
}

export const unaryKernels: readonly NativeKernel[] = [
  ...Object.entries(kernels).map(([name, kernel]) => ({
    name,
    run: (call: KernelCall) => unary(name, kernel, call),
  })),
  { name: 'LogicalNot', run: logicalNot },
];
