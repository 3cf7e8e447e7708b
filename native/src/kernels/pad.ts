// SPDX-License-Identifier: Apache-2.0
// Kernels that give a tensor a margin; strings and complex numbers are left to tfjs.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { storedValue } from './fill.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const mostAxes = 8;

type Paddings = readonly (readonly [before: number, after: number])[];

function padded(call: KernelCall, op: string, leading: readonly number[]): TensorInfo {
  const x = input(call, 'x');
  const paddings = call.attrs['paddings'] as unknown as Paddings;
  const before = paddings.map(([count]) => count);
  const after = paddings.map(([, count]) => count);
  const shape = x.shape.map((size, axis) => before[axis]! + size + after[axis]!);
  const numbers = [...leading, x.shape.length, ...x.shape, ...before, ...after];
  return call.backend.execute(op, [x], { shape, dtype: x.dtype }, numbers);
}

function padV2(call: KernelCall): TensorInfo | null {
  const { dtype, shape } = input(call, 'x');
  const code = dtypeCode(dtype);
  if (code === undefined || shape.length > mostAxes) return null;
  return padded(call, 'PadV2', [code, storedValue(call.attrs['constantValue'] as number, dtype)]);
}

function mirrorPad(call: KernelCall): TensorInfo | null {
  const { dtype, shape } = input(call, 'x');
  if (dtypeCode(dtype) === undefined || shape.length > mostAxes) return null;
  return padded(call, 'MirrorPad', [
    bytesPerElement(dtype),
    call.attrs['mode'] === 'symmetric' ? 1 : 0,
  ]);
}

export const padKernels: readonly NativeKernel[] = [
  { name: 'MirrorPad', run: mirrorPad },
  { name: 'PadV2', run: padV2 },
];
