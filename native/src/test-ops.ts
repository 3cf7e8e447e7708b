// SPDX-License-Identifier: Apache-2.0
// What the tests of ops of @diffmavil/core share: native values and gradients against those of a reference twin on tfjs's cpu backend.
import { expectClose, expectNoLeak } from '@diffmavil/testkit';
import type { Tolerance } from '@diffmavil/testkit';
import { fold, makeKey, normals } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
import { loadAddon } from './loader.ts';
import { backendName } from './register.ts';

type Tensors = tf.Tensor[];

export interface OpCase {
  readonly name: string;
  /** Shapes of the differentiated inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly op: (...x: Tensors) => tf.Tensor;
  readonly twin: (...x: Tensors) => tf.Tensor;
  readonly tolerance?: Tolerance;
}

/** Normal draws of this shape, with standard deviation 1/2; the same on every backend. */
export function draw(shape: readonly number[], ...data: (number | string)[]): tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = normals(fold(makeKey(20231004), ...data), size).map((value) => value / 2);
  return tf.tensor(values, [...shape], 'float32');
}

/**
 * Value and gradients of the native op against those of its twin on tfjs's cpu backend; nothing is delegated or left behind, and
 * one and four threads give the same bits.
 */
export async function expectOpLikeTwin({ name, shapes, op, twin, ...rest }: OpCase): Promise<void> {
  const { tolerance = { nmse: 1e-10, maxAbs: 1e-5 } } = rest;
  const expected = await resultsOn('cpu', name, shapes, twin);
  const { threads } = loadAddon();
  resetDelegatedKernels();
  try {
    loadAddon().setThreads(1);
    const one = await resultsOn(backendName, name, shapes, op);
    loadAddon().setThreads(4);
    const four = await resultsOn(backendName, name, shapes, op);
    expect(delegatedKernels()).toEqual({});
    expect(four).toEqual(one);
    expect(one.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
    for (const [i, { values }] of one.entries()) {
      const right = expected[i]!.values;
      // All of it 0, as gradients of a constant are: then there is no power to measure against.
      const zero = right.every((value) => Math.abs(value) < 1e-6);
      expectClose(values, right, zero ? { maxAbs: 1e-6 } : tolerance);
    }
  } finally {
    loadAddon().setThreads(threads);
  }
}

interface Result {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The value of f, then its gradients for a drawn dy. */
async function resultsOn(
  backend: string,
  name: string,
  shapes: OpCase['shapes'],
  f: OpCase['op'],
): Promise<Result[]> {
  await tf.setBackend(backend);
  return expectNoLeak(() =>
    tf.tidy(() => {
      const x = shapes.map((shape, i) => draw(shape, name, i));
      const value = f(...x);
      const dy = draw(value.shape, name, 'dy');
      const gradients = x.length === 0 ? [] : tf.grads(f)(x, dy);
      return [value, ...gradients].map((y) => ({
        shape: y.shape,
        values: y.dataSync() as Float32Array,
      }));
    }),
  );
}
