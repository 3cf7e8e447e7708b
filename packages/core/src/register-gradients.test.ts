// SPDX-License-Identifier: Apache-2.0
// This package comes before tfjs-core here, as it may in a user's program: tensors must still be tfjs-core's own.
import { makeKey } from './index.ts';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';

it('leaves tensors their operations, whichever package is imported first', async () => {
  tf.env().set('IS_TEST', true);
  await tf.setBackend('cpu');
  expect(makeKey(1)).toHaveLength(4);
  // sqrt(9 + 16); tf.norm casts through the tensor's own method.
  expect((await tf.norm(tf.tensor1d([3, 4])).data())[0]).toBe(5);
  expect([
    ...(await tf
      .grad((x) => tf.square(x))(tf.scalar(3))
      .data()),
  ]).toEqual([6]);
});
