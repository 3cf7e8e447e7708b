// SPDX-License-Identifier: Apache-2.0
// A case of twins.test.ts, and what cases are made of.
import * as tf from '@tensorflow/tfjs-core';
import { fold, makeKey, normals } from '../random.ts';
import type { NormParameters } from './index.ts';

export type Tensors = tf.Tensor[];

export interface Case {
  readonly name: string;
  /** Shapes of the differentiated inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly op: (...x: Tensors) => tf.Tensor;
  readonly twin: (...x: Tensors) => tf.Tensor;
  /** Bound of |op - twin|; values and gradients here are of order 1 (at most about 20). */
  readonly maxAbs?: number;
}

export const at = (x: Tensors, i: number): tf.Tensor => {
  const tensor = x[i];
  if (tensor === undefined) throw new Error(`no tensor ${i}`);
  return tensor;
};

export const norm = (x: Tensors, i: number): NormParameters => ({
  weight: at(x, i),
  bias: at(x, i + 1),
});

const seed = 20231004;

export function draw(shape: readonly number[], ...data: (number | string)[]): tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = normals(fold(makeKey(seed), ...data), size).map((value) => value / 2);
  return tf.tensor(values, [...shape], 'float32');
}
