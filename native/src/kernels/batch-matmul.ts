// SPDX-License-Identifier: Apache-2.0
// BatchMatMul, and _FusedMatMul: the same with a bias and an activation. float32; other dtypes are
// left to tfjs.
import * as tf from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { activated, composed, isKnownActivation } from './compose.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const mostAxes = 8;

interface Sizes {
  /** Rows of the result. */
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly aBatch: readonly number[];
  readonly bBatch: readonly number[];
  readonly batch: readonly number[];
}

function sizesOf(a: TensorInfo, b: TensorInfo, attrs: KernelCall['attrs']): Sizes {
  const transposeA = attrs['transposeA'] === true;
  const transposeB = attrs['transposeB'] === true;
  const [m, k] = lastTwo(a, transposeA);
  const [inner, n] = lastTwo(b, transposeB);
  const aBatch = a.shape.slice(0, -2);
  const bBatch = b.shape.slice(0, -2);
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(aBatch, bBatch);
  if (inner !== k) {
    // The words of tfjs, which its own specs look for.
    throw new Error(
      `Error in matMul: inner shapes (${k}) and (${inner}) of Tensors with shapes ${String(a.shape)} and ` +
        `${String(b.shape)} and transposeA=${transposeA} and transposeB=${transposeB} must match.`,
    );
  }
  return { m, k, n, transposeA, transposeB, aBatch, bBatch, batch };
}

function lastTwo({ shape }: TensorInfo, transposed: boolean): [number, number] {
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  return transposed ? [columns, rows] : [rows, columns];
}

/** a · b plus a bias [n] on the columns. */
function multiply(call: KernelCall, bias: TensorInfo | null): TensorInfo | null {
  const [a, b] = [input(call, 'a'), input(call, 'b')];
  if (a.dtype !== 'float32' || b.dtype !== 'float32') return null;
  const sizes = sizesOf(a, b, call.attrs);
  const { m, k, n, batch } = sizes;
  if (batch.length > mostAxes) return null;
  const pad = (shape: readonly number[]): number[] => [
    ...Array.from({ length: batch.length - shape.length }, () => 1),
    ...shape,
  ];
  const flags = [sizes.transposeA, sizes.transposeB, bias !== null].map(Number);
  const numbers = [m, k, n, ...flags, batch.length, ...pad(sizes.aBatch), ...pad(sizes.bBatch)];
  const inputs = bias === null ? [a, b] : [a, b, bias];
  const output = { shape: [...batch, m, n], dtype: 'float32' } as const;
  return call.backend.execute('BatchMatMul', inputs, output, numbers);
}

function fused(call: KernelCall): TensorInfo | null {
  if (!isKnownActivation(call.attrs)) return null;
  const bias = call.inputs['bias'];
  const n = lastTwo(input(call, 'b'), call.attrs['transposeB'] === true)[1];
  const byColumn =
    bias !== undefined && bias.shape.at(-1) === n && tf.util.sizeFromShape(bias.shape) === n;
  const y = multiply(call, byColumn ? bias : null);
  if (y === null) return null;
  return composed(call.backend, (run, own) => {
    const product = own(y);
    const whole = bias === undefined || byColumn ? product : run('Add', { a: product, b: bias });
    return activated(run, whole, call.attrs, call.inputs['preluActivationWeights']);
  });
}

export const batchMatmulKernels: readonly NativeKernel[] = [
  { name: 'BatchMatMul', run: (call) => multiply(call, null) },
  { name: '_FusedMatMul', run: fused },
];
