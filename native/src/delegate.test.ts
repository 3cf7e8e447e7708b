// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
import { noAddon, skipNote, useNative } from './test-native.ts';

describe.skipIf(noAddon)(`kernels that are not native${skipNote}`, () => {
  beforeEach(useNative);
  beforeEach(resetDelegatedKernels);
  afterEach(() => {
    delete process.env['DIFFMAVIL_STRICT'];
  });

  it('run on tfjs’s cpu backend and are counted by name', () => {
    tf.tidy(() => {
      const x = tf.tensor1d(['a', 'b', 'a']);
      tf.unique(x);
      tf.equal(x, x);
      tf.equal(x, tf.tensor1d(['a', 'a', 'a']));
    });
    expect(delegatedKernels()).toEqual({ Equal: 2, Unique: 1 });
  });

  it('hand complex tensors over, and back', () => {
    const product = tf.tidy(() => {
      const i = tf.complex([0], [1]);
      return tf.mul(i, i);
    });
    expect([...product.dataSync()]).toEqual([-1, 0]);
    product.dispose();
  });

  it('are an error under DIFFMAVIL_STRICT=1', () => {
    process.env['DIFFMAVIL_STRICT'] = '1';
    const x = tf.tensor1d(['a']);
    expect(() => tf.unique(x)).toThrow(
      'native: expected a native kernel for Unique (x: string [1]) under DIFFMAVIL_STRICT=1, got none. Try: unset DIFFMAVIL_STRICT',
    );
    x.dispose();
  });
});
