// SPDX-License-Identifier: Apache-2.0
// Fill: a tensor of one value.
import type { DataType } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function fill({ attrs, backend }: KernelCall): ReturnType<NativeKernel['run']> {
  const shape = attrs['shape'] as number[];
  const value = attrs['value'] as number | string;
  const dtype =
    (attrs['dtype'] as DataType | undefined) ?? (typeof value === 'string' ? 'string' : 'float32');
  const code = dtypeCode(dtype);
  if (code === undefined || typeof value === 'string') return null;
  // What storing in an Int32Array or Uint8Array does to a number.
  const stored = dtype === 'int32' ? value | 0 : dtype === 'bool' ? value & 0xff : value;
  return backend.execute('Fill', [], { shape, dtype }, [code, sizeOf({ shape }), stored]);
}

export const fillKernels: readonly NativeKernel[] = [{ name: 'Fill', run: fill }];
