// SPDX-License-Identifier: Apache-2.0
// A function keeps nothing but its result, and a test disposes that.
import * as tf from '@tensorflow/tfjs-core';

/**
 * Runs `fn` and throws unless tensors and data buffers are as many after it as before; returns what `fn` returned, which must
 * therefore hold no new tensor. Waits for `fn` when it returns a promise.
 */
export function expectNoLeak<T>(fn: () => T): T {
  const before = counts();
  const result = fn();
  if (result instanceof Promise) {
    return result.then((value: unknown) => {
      compare(before);
      return value;
    }) as T;
  }
  compare(before);
  return result;
}

interface Counts {
  readonly tensors: number;
  readonly buffers: number;
}

function counts(): Counts {
  const { numTensors, numDataBuffers } = tf.memory();
  return { tensors: numTensors, buffers: numDataBuffers };
}

function compare(before: Counts): void {
  const after = counts();
  if (after.tensors !== before.tensors || after.buffers !== before.buffers) {
    throw new Error(
      `expectNoLeak: expected ${before.tensors} tensors and ${before.buffers} buffers, ` +
        `got ${after.tensors} and ${after.buffers}`,
    );
  }
}
