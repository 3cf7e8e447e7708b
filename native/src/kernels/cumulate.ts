// SPDX-License-Identifier: Apache-2.0
// Cumsum and Cumprod.
import * as tf from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { withCast } from './cast.ts';
import { aroundAxis, input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function cumulate(name: string, call: KernelCall): ReturnType<NativeKernel['run']> {
  const { attrs, backend } = call;
  const x = input(call, 'x');
  if (dtypeCode(x.dtype) === undefined || x.shape.length === 0) return null;
  const [axis] = tf.util.parseAxisParam(attrs['axis'] as number, x.shape);
  if (axis === undefined) return null;
  const dtype = x.dtype === 'bool' ? 'int32' : x.dtype;
  return withCast(backend, x, dtype, (converted) =>
    backend.execute(name, [converted], { shape: x.shape, dtype }, [
      dtypeCode(dtype) ?? 0,
      ...aroundAxis(x, axis),
      Number(attrs['exclusive'] === true),
      Number(attrs['reverse'] === true),
    ]),
  );
}

export const cumulateKernels: readonly NativeKernel[] = ['Cumprod', 'Cumsum'].map((name) => ({
  name,
  run: (call) => cumulate(name, call),
}));
