// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels of one float32 operand; other dtypes are left to tfjs.
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const names = [
  'Abs',
  'Exp',
  'Neg',
  'Reciprocal',
  'Relu',
  'Rsqrt',
  'Sigmoid',
  'Sqrt',
  'Square',
] as const;

function unary(name: string, call: KernelCall): ReturnType<NativeKernel['run']> {
  const x = input(call, 'x');
  if (x.dtype !== 'float32') return null;
  return call.backend.execute(name, [x], { shape: x.shape, dtype: 'float32' }, [sizeOf(x)]);
}

export const unaryKernels: readonly NativeKernel[] = names.map((name) => ({
  name,
  run: (call) => unary(name, call),
}));
