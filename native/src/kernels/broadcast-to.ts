// SPDX-License-Identifier: Apache-2.0
// DmBroadcastTo: x repeated to `shape`, divided by `divisor`.
import { input } from './kernel.ts';
import { padded } from './binary.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function broadcastTo(call: KernelCall): ReturnType<NativeKernel['run']> {
  const x = input(call, 'x');
  const shape = call.attrs['shape'] as number[];
  return call.backend.execute('DmBroadcastTo', [x], { shape, dtype: 'float32' }, [
    call.attrs['divisor'] as number,
    shape.length,
    ...padded(x.shape, shape.length),
    ...shape,
  ]);
}

export const broadcastToKernels: readonly NativeKernel[] = [
  { name: 'DmBroadcastTo', run: broadcastTo },
];
