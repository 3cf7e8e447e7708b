// SPDX-License-Identifier: Apache-2.0
// One value at each index, another elsewhere.
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { storedValue } from './fill.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function oneHot(call: KernelCall): TensorInfo | null {
  const indices = input(call, 'indices');
  const { depth, onValue, offValue } = call.attrs as Record<string, number>;
  const dtype = call.attrs['dtype'] as DataType;
  const code = dtypeCode(dtype);
  if (code === undefined || indices.dtype !== 'int32') return null;
  const values = [onValue!, offValue!].map((value) => storedValue(value, dtype));
  const output = { shape: [...indices.shape, depth!], dtype };
  const numbers = [code, sizeOf(indices), depth!, ...values];
  return call.backend.execute('OneHot', [indices], output, numbers);
}

export const oneHotKernels: readonly NativeKernel[] = [{ name: 'OneHot', run: oneHot }];
