// SPDX-License-Identifier: Apache-2.0
// Exact GELU: packages/core/src/ops/gelu.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function gelu(op: string, names: readonly string[], call: KernelCall): TensorInfo {
  const inputs = names.map((name) => floatInput(call, name));
  const { shape } = inputs[0]!;
  return call.backend.execute(op, inputs, { shape, dtype: 'float32' }, [sizeOf({ shape })]);
}

export const geluKernels: readonly NativeKernel[] = [
  { name: 'DmGelu', run: (call) => gelu('DmGelu', ['x'], call) },
  { name: 'DmGeluGrad', run: (call) => gelu('DmGeluGrad', ['dy', 'x'], call) },
];
