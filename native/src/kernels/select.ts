// SPDX-License-Identifier: Apache-2.0
// Select with a condition for every element. tf.where broadcasts before it comes here; a condition of fewer elements is left to tfjs.
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function select(call: KernelCall): ReturnType<NativeKernel['run']> {
  const condition = input(call, 'condition');
  const t = input(call, 't');
  const e = input(call, 'e');
  const code = dtypeCode(t.dtype);
  const size = sizeOf(t);
  const alike = t.dtype === e.dtype && sizeOf(e) === size && sizeOf(condition) === size;
  if (code === undefined || !alike || condition.dtype !== 'bool') return null;
  const output = { shape: t.shape, dtype: t.dtype };
  return call.backend.execute('Select', [condition, t, e], output, [code, size]);
}

export const selectKernels: readonly NativeKernel[] = [{ name: 'Select', run: select }];
