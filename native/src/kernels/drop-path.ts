// SPDX-License-Identifier: Apache-2.0
// Each sample times its factor: packages/core/src/ops/drop-path.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function dropPath(call: KernelCall): TensorInfo {
  const x = floatInput(call, 'x');
  const [batch = 1, ...rest] = x.shape;
  const numbers = [batch, sizeOf({ shape: rest })];
  const inputs = [x, floatInput(call, 'factor')];
  return call.backend.execute('DmDropPath', inputs, { shape: x.shape, dtype: 'float32' }, numbers);
}

export const dropPathKernels: readonly NativeKernel[] = [{ name: 'DmDropPath', run: dropPath }];
