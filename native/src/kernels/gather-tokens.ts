// SPDX-License-Identifier: Apache-2.0
// The tokens of each sample at its own indices, and back: packages/core/src/ops/gather-tokens.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeDtype } from './checks.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function move(name: 'DmGatherTokens' | 'DmScatterTokens', call: KernelCall): TensorInfo {
  const x = input(call, 'x');
  const indices = input(call, 'indices');
  const [batch = 0, , width = 0] = x.shape;
  const [, count = 0] = indices.shape;
  const tokens = call.attrs['tokens'] as number;
  const shape = [batch, name === 'DmGatherTokens' ? count : tokens, width];
  return call.backend.execute(name, [x, indices], { shape, dtype: x.dtype }, [
    nativeDtype(x),
    batch,
    tokens,
    count,
    width,
  ]);
}

export const gatherTokensKernels: readonly NativeKernel[] = [
  { name: 'DmGatherTokens', run: (call) => move('DmGatherTokens', call) },
  { name: 'DmScatterTokens', run: (call) => move('DmScatterTokens', call) },
];
