// SPDX-License-Identifier: Apache-2.0
// The Euclidean norm over several tensors: packages/core/src/ops/global-norm.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function globalNorm(call: KernelCall): TensorInfo {
  const inputs = Object.keys(call.inputs).map((name) => floatInput(call, name));
  const output = { shape: [], dtype: 'float32' } as const;
  return call.backend.execute('DmGlobalNorm', inputs, output, inputs.map(sizeOf));
}

export const globalNormKernels: readonly NativeKernel[] = [
  { name: 'DmGlobalNorm', run: globalNorm },
];
