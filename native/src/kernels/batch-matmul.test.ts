// SPDX-License-Identifier: Apache-2.0
import { uniformStream, makeKey } from '@diffmavil/core';
import { expectClose } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { draw } from '../test-ops.ts';

// Sums of k products of numbers of size 1/2: rounding of float32 alone.
const tolerance = { nmse: 1e-11, maxAbs: 2e-5 };

interface Case {
  readonly aBatch: number[];
  readonly bBatch: number[];
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const sizes = [1, 2, 3, 17, 63, 64, 65, 127];
const batches: readonly [number[], number[]][] = [
  [[], []],
  [[3], [3]],
  [[4], []],
  [[], [4]],
  [[1], [5]],
  [
    [2, 1],
    [1, 3],
  ],
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
];

/** Drawn cases, the same in every run. */
function cases(count: number): Case[] {
  const uniform = uniformStream(makeKey(7));
  const pick = <T>(from: readonly T[]): T => from[Math.floor(uniform() * from.length)] as T;
  return Array.from({ length: count }, () => {
    const [aBatch, bBatch] = pick(batches);
    const [m, k, n] = [pick(sizes), pick(sizes), pick(sizes)];
    return { aBatch, bBatch, m, k, n, transposeA: uniform() < 0.5, transposeB: uniform() < 0.5 };
  });
}

function operands(c: Case): [tf.Tensor, tf.Tensor] {
  const a = draw([...c.aBatch, ...(c.transposeA ? [c.k, c.m] : [c.m, c.k])], 'a');
  const b = draw([...c.bBatch, ...(c.transposeB ? [c.n, c.k] : [c.k, c.n])], 'b');
  return [a, b];
}

describe.skipIf(noAddon)(`matrix products${skipNote}`, () => {
  beforeEach(useNative);

  it('are those of tfjs for drawn sizes, batches and transposes', async () => {
    for (const c of cases(60)) {
      // tfjs's cpu backend pairs matrices wrongly when both sides repeat.
      if (c.aBatch.length === 2 && c.bBatch.length === 2 && c.aBatch[1] === 1) continue;
      await expectSameAsCpu(() => {
        const [a, b] = operands(c);
        return tf.matMul(a, b, c.transposeA, c.transposeB);
      }, tolerance);
    }
  });

  it('repeat both sides where both have axes of one: [2, 1] and [1, 3] matrices make 6', () => {
    tf.tidy(() => {
      const a = tf.tensor([1, 2], [2, 1, 1, 1]);
      const b = tf.tensor([10, 20, 30], [1, 3, 1, 1]);
      expect([...tf.matMul(a, b).dataSync()]).toEqual([10, 20, 30, 20, 40, 60]);
    });
  });

  it('take no rows, no columns and no inner elements', async () => {
    for (const [m, k, n] of [
      [0, 3, 2],
      [2, 0, 3],
      [2, 3, 0],
    ] as const) {
      // prettier-ignore
      await expectSameAsCpu(() => tf.matMul(tf.ones([m, k]), tf.ones([k, n])));
    }
  });

  it('fuse a bias of every shape and every activation as tfjs does', async () => {
    const activations = [
      'linear',
      'relu',
      'elu',
      'relu6',
      'sigmoid',
      'leakyrelu',
      'prelu',
    ] as const;
    for (const activation of activations) {
      for (const bias of [undefined, [9], [1, 9], [5, 9], [1], [5, 1]]) {
        await expectSameAsCpu(
          () =>
            tf.fused.matMul({
              a: draw([5, 70], 'a'),
              b: draw([9, 70], 'b'),
              transposeB: true,
              activation,
              ...(bias === undefined ? {} : { bias: draw(bias, 'bias') }),
              ...(activation === 'prelu' ? { preluActivationWeights: draw([9], 'alpha') } : {}),
              leakyreluAlpha: 0.3,
            }),
          { nmse: 1e-10, maxAbs: 2e-5 },
        );
      }
    }
  });

  it('have the gradients of operands that are repeated in full', () => {
    const gradients = (
      f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
      a: tf.Tensor,
      b: tf.Tensor,
    ) => {
      const dy = draw(tf.tidy(() => f(a, b)).shape, 'dy');
      return tf.grads(f)([a, b], dy);
    };
    for (const c of cases(40)) {
      if (c.m * c.k * c.n > 20_000) continue;
      tf.tidy(() => {
        const [a, b] = operands(c);
        const batch = tf.broadcast_util.assertAndGetBroadcastShape(c.aBatch, c.bBatch);
        const full = (x: tf.Tensor): tf.Tensor =>
          tf.broadcastTo(x, [...batch, ...x.shape.slice(-2)]);
        const got = gradients((x, y) => tf.matMul(x, y, c.transposeA, c.transposeB), a, b);
        const expected = gradients(
          (x, y) => tf.matMul(full(x), full(y), c.transposeA, c.transposeB),
          a,
          b,
        );
        for (const [i, gradient] of got.entries()) {
          expect(gradient.shape).toEqual(expected[i]?.shape);
          expectClose(gradient.dataSync(), expected[i]?.dataSync() ?? [], {
            nmse: 1e-10,
            maxAbs: 1e-3,
          });
        }
      });
    }
  });

  it('name inner sizes that differ', () => {
    expect(() => tf.tidy(() => tf.matMul(tf.ones([2, 3]), tf.ones([4, 5])))).toThrow(
      'Error in matMul: inner shapes (3) and (4) of Tensors with shapes 2,3 and 4,5 and transposeA=false and transposeB=false must match.',
    );
  });
});
