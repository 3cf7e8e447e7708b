// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels of two operands of one dtype, with broadcasting; dtypes an op lacks are left to tfjs.
import * as tf from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const mostAxes = 8;
const floats = ['float32'];
const numbers = ['float32', 'int32'];

/** The dtypes each op computes. */
const dtypes: Readonly<Record<string, readonly string[]>> = {
  Add: numbers,
  Maximum: numbers,
  Minimum: numbers,
  Multiply: numbers,
  RealDiv: floats,
  SquaredDifference: floats,
  Sub: numbers,
};

function binary(
  name: string,
  computed: readonly string[],
  call: KernelCall,
): ReturnType<NativeKernel['run']> {
  const a = input(call, 'a');
  const b = input(call, 'b');
  const code = dtypeCode(a.dtype);
  if (code === undefined || a.dtype !== b.dtype || !computed.includes(a.dtype)) return null;
  const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const rank = shape.length;
  if (rank > mostAxes) return null;
  return call.backend.execute(name, [a, b], { shape, dtype: a.dtype }, [
    code,
    rank,
    ...padded(a.shape, rank),
    ...padded(b.shape, rank),
  ]);
}

/** The shape with leading ones, up to a rank. */
function padded(shape: readonly number[], rank: number): number[] {
  return [...Array.from({ length: rank - shape.length }, () => 1), ...shape];
}

export const binaryKernels: readonly NativeKernel[] = Object.entries(dtypes).map(
  ([name, computed]) => ({ name, run: (call) => binary(name, computed, call) }),
);
