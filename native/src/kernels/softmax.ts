// SPDX-License-Identifier: Apache-2.0
// Softmax over the last axis, and DmSoftmaxGrad: y (dy - sum of dy y).
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

type Outcome = ReturnType<NativeKernel['run']>;

function softmax(call: KernelCall): Outcome {
  const x = input(call, 'logits');
  const rank = x.shape.length;
  const dim = call.attrs['dim'] as number;
  if (x.dtype !== 'float32' || rank === 0 || (dim !== rank - 1 && dim !== -1)) return null;
  return call.backend.execute('Softmax', [x], { shape: x.shape, dtype: 'float32' }, rows(x.shape));
}

function softmaxGrad(call: KernelCall): Outcome {
  const y = input(call, 'y');
  const output = { shape: y.shape, dtype: 'float32' } as const;
  return call.backend.execute('DmSoftmaxGrad', [input(call, 'dy'), y], output, rows(y.shape));
}

/** Rows, and elements of each. */
function rows(shape: readonly number[]): [number, number] {
  const width = shape.at(-1) ?? 1;
  return [sizeOf({ shape: shape.slice(0, -1) }), width];
}

export const softmaxKernels: readonly NativeKernel[] = [
  { name: 'Softmax', run: softmax },
  { name: 'DmSoftmaxGrad', run: softmaxGrad },
];
