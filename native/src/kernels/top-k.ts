// SPDX-License-Identifier: Apache-2.0
// The largest elements of each row.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function topK(call: KernelCall): TensorInfo[] | null {
  const x = input(call, 'x');
  if (x.dtype !== 'float32' && x.dtype !== 'int32') return null;
  const k = call.attrs['k'] as number;
  const outer = x.shape.slice(0, -1);
  const outputs = [x.dtype, 'int32' as const].map((dtype) => ({ shape: [...outer, k], dtype }));
  const numbers = [dtypeCode(x.dtype)!, sizeOf({ shape: outer }), x.shape.at(-1)!, k];
  return call.backend.executeAll('TopK', [x], outputs, numbers);
}

export const topKKernels: readonly NativeKernel[] = [{ name: 'TopK', run: topK }];
