// SPDX-License-Identifier: Apache-2.0
// What the tests of this package share.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { expectClose, expectNoLeak } from '@diffmavil/testkit';
import type { Tolerance } from '@diffmavil/testkit';
import { expect } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
import { backendName, registerNative } from './register.ts';
import { findAddon } from './loader.ts';

/** Tests that need the addon: `describe.skipIf(noAddon)(`…${skipNote}`, …)`; the note is how skips are counted. */
export const noAddon: boolean = findAddon().addon === null;
export const skipNote: string = noAddon ? ' (skipped: the native addon is not built)' : '';

/** Makes `diffmavil-cpu` the active backend, with the engine's leak check of every kernel on. */
export async function useNative(): Promise<void> {
  tf.env().set('IS_TEST', true);
  registerNative();
  await tf.setBackend(backendName);
}

/**
 * Runs `f`, which makes its inputs itself, natively and on tfjs's cpu backend, and compares dtype, shape and values. No kernel may be
 * delegated, and none may leave a tensor behind.
 */
export async function expectSameAsCpu(
  f: () => tf.Tensor,
  tolerance: Tolerance = { maxRel: 1e-6 },
): Promise<void> {
  const expected = await valuesOn('cpu', f);
  resetDelegatedKernels();
  const got = await valuesOn(backendName, f);
  expect(delegatedKernels()).toEqual({});
  expect({ dtype: got.dtype, shape: got.shape }).toEqual({
    dtype: expected.dtype,
    shape: expected.shape,
  });
  if (got.dtype === 'float32') expectClose(got.values, expected.values, tolerance);
  // As plain lists: some kernels of tfjs return one where there are no elements.
  else expect([...got.values]).toEqual([...expected.values]);
}

interface Values {
  readonly dtype: tf.DataType;
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array | Uint8Array;
}

async function valuesOn(backend: string, f: () => tf.Tensor): Promise<Values> {
  await tf.setBackend(backend);
  return expectNoLeak(() => {
    const result = tf.tidy(f);
    const { dtype, shape } = result;
    const values = result.dataSync();
    result.dispose();
    return { dtype, shape, values };
  });
}
