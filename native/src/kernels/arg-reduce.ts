// SPDX-License-Identifier: Apache-2.0
// ArgMax and ArgMin along one axis.
import * as tf from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { aroundAxis, input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function argReduce(name: string, call: KernelCall): ReturnType<NativeKernel['run']> {
  const x = input(call, 'x');
  const code = dtypeCode(x.dtype);
  const [axis, ...more] = tf.util.parseAxisParam(call.attrs['axis'] as number, x.shape);
  if (code === undefined || axis === undefined || more.length > 0) return null;
  const shape = x.shape.filter((_, i) => i !== axis);
  return call.backend.execute(name, [x], { shape, dtype: 'int32' }, [code, ...aroundAxis(x, axis)]);
}

export const argReduceKernels: readonly NativeKernel[] = ['ArgMax', 'ArgMin'].map((name) => ({
  name,
  run: (call) => argReduce(name, call),
}));
