// SPDX-License-Identifier: Apache-2.0
// What a case of the table of ops is, and what its parts are made with.
//
// A case comes in sizes: `share` of its rows, so that a slow backend can be given less work.
import { fold, makeKey, normals, permutation, valueAndGrads } from '@diffmavil/core';
import type { Precision } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Cost } from './ceilings.ts';

/** One way to run an op, on tensors that are there already. */
export interface Phase {
  readonly name: 'forward' | 'backward' | 'forward + backward' | 'update';
  readonly cost: Cost;
  readonly run: (precision: Precision) => void;
}

export interface OpCase {
  readonly name: string;
  /** Arithmetic of its matrix products that it offers. */
  readonly precisions: readonly Precision[];
  /** Compared with memory, and with no other backend. Default false. */
  readonly alone?: boolean;
  /** Makes the tensors on the active backend. */
  readonly make: (share: number) => { readonly phases: Phase[]; readonly dispose: () => void };
}

export type Tensors = Record<string, tf.Tensor>;

const key = makeKey(1);
export const float32 = ['float32'] as const;
export const both = ['float32', 'bfloat16'] as const;
export const rowsOf = (rows: number, share: number): number =>
  Math.max(4, Math.round(rows * share));

export function normal(...shape: number[]): tf.Tensor {
  const values = normals(fold(key, ...shape), tf.util.sizeFromShape(shape));
  return tf.tensor(values, shape);
}

/** int32 [batch, count]: distinct tokens of each sample. */
export function indices(batch: number, count: number, tokens: number): tf.Tensor {
  const values = Array.from({ length: batch }, (_, i) => [
    ...permutation(fold(key, i), tokens).subarray(0, count),
  ]);
  return tf.tensor2d(values, [batch, count], 'int32');
}

export const bytesOf = (...tensors: readonly tf.Tensor[]): number =>
  tensors.reduce((sum, { size }) => sum + 4 * size, 0);

/**
 * The phases of an op with a gradient. `flops` is of its forward pass; backward takes twice as much when all of it are products. Bytes are
 * those of the inputs and the output, read and written once, and of their gradients. The backward pass starts from the sum of the output.
 */
export function differentiable(
  given: Tensors,
  flops: number,
  outputSize: number,
  forward: (precision: Precision) => tf.Tensor,
  fixed: Tensors = {},
): ReturnType<OpCase['make']> {
  const bytes = bytesOf(...Object.values(given)) + 4 * outputSize;
  return {
    phases: [
      {
        name: 'forward',
        cost: { flops, bytes },
        run: (precision) => forward(precision).dispose(),
      },
      {
        name: 'forward + backward',
        cost: { flops: 3 * flops, bytes: 3 * bytes },
        run: (precision) => {
          const loss = (): { loss: tf.Tensor } => ({ loss: tf.sum(forward(precision)) });
          const { outputs, grads } = valueAndGrads(loss, given);
          tf.dispose([outputs, grads]);
        },
      },
    ],
    dispose: () => tf.dispose([given, fixed]),
  };
}

export const affine = (width: number): { weight: tf.Tensor; bias: tf.Tensor } => ({
  weight: tf.ones([width]),
  bias: tf.zeros([width]),
});
