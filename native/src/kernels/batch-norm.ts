// SPDX-License-Identifier: Apache-2.0
// FusedBatchNorm by channel; statistics of other shapes are left to tfjs.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function batchNorm(call: KernelCall): TensorInfo | null {
  const { inputs, attrs, backend } = call;
  const x = input(call, 'x');
  const channels = x.shape.at(-1);
  const { scale, offset } = inputs as Record<string, TensorInfo | undefined>;
  const parameters = [input(call, 'mean'), input(call, 'variance')];
  for (const optional of [scale, offset]) if (optional) parameters.push(optional);
  const byChannel = parameters.every(
    ({ shape, dtype }) => shape.length === 1 && shape[0] === channels && dtype === 'float32',
  );
  if (x.dtype !== 'float32' || channels === undefined || !byChannel) return null;
  const rows = sizeOf({ shape: x.shape.slice(0, -1) });
  const epsilon = (attrs['varianceEpsilon'] as number | undefined) ?? 0.001;
  const numbers = [rows, channels, epsilon, scale ? 1 : 0, offset ? 1 : 0];
  const output = { shape: x.shape, dtype: x.dtype };
  return backend.execute('FusedBatchNorm', [x, ...parameters], output, numbers);
}

export const batchNormKernels: readonly NativeKernel[] = [
  { name: 'FusedBatchNorm', run: batchNorm },
];
