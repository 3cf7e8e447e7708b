// SPDX-License-Identifier: Apache-2.0
// Tensors of one value.
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import type { NativeBackend } from '../backend.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** What storing a number in an array of this dtype makes of it. */
export function storedValue(value: number, dtype: DataType): number {
  if (dtype === 'int32') return value | 0;
  return dtype === 'bool' ? value & 0xff : value;
}

function filled(
  backend: NativeBackend,
  shape: readonly number[],
  dtype: DataType,
  value: number,
): TensorInfo | null {
  const code = dtypeCode(dtype);
  if (code === undefined) return null;
  const numbers = [code, sizeOf({ shape }), storedValue(value, dtype)];
  return backend.execute('Fill', [], { shape, dtype }, numbers);
}

function fill({ attrs, backend }: KernelCall): TensorInfo | null {
  const shape = attrs['shape'] as number[];
  const value = attrs['value'] as number | string;
  const dtype =
    (attrs['dtype'] as DataType | undefined) ?? (typeof value === 'string' ? 'string' : 'float32');
  return typeof value === 'string' ? null : filled(backend, shape, dtype, value);
}

function like(call: KernelCall, value: number): TensorInfo | null {
  const { shape, dtype } = input(call, 'x');
  return filled(call.backend, shape, dtype, value);
}

export const fillKernels: readonly NativeKernel[] = [
  { name: 'Fill', run: fill },
  { name: 'OnesLike', run: (call) => like(call, 1) },
  { name: 'ZerosLike', run: (call) => like(call, 0) },
];
