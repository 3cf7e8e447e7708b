// SPDX-License-Identifier: Apache-2.0
// Contrastive loss of queries against keys: packages/core/src/ops/info-nce.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function infoNce(call: KernelCall): TensorInfo {
  const queries = floatInput(call, 'queries');
  const inputs = [queries, floatInput(call, 'keys')];
  const numbers = [...queries.shape, call.attrs['temperature'] as number];
  return call.backend.execute('DmInfoNce', inputs, { shape: [], dtype: 'float32' }, numbers);
}

function infoNceGrad(call: KernelCall): TensorInfo[] {
  const queries = floatInput(call, 'queries');
  const inputs = [floatInput(call, 'dy'), queries, floatInput(call, 'keys')];
  const output = { shape: queries.shape, dtype: 'float32' } as const;
  const numbers = [...queries.shape, call.attrs['temperature'] as number];
  return call.backend.executeAll('DmInfoNceGrad', inputs, [output, output], numbers);
}

export const infoNceKernels: readonly NativeKernel[] = [
  { name: 'DmInfoNce', run: infoNce },
  { name: 'DmInfoNceGrad', run: infoNceGrad },
];
