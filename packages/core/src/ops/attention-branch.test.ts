// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: what only attentionBranch does, and
// its errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { attentionBranch } from './attention-branch.ts';
import type { CrossAttentionParameters, SelfAttentionParameters } from './attention-branch.ts';

const pair = (out: number, width: number): { weight: tf.Tensor; bias: tf.Tensor } => ({
  weight: tf.mul(tf.ones([out, width]), 0.1),
  bias: tf.ones([out]),
});
const norm = (width: number): { weight: tf.Tensor; bias: tf.Tensor } => ({
  weight: tf.ones([width]),
  bias: tf.zeros([width]),
});
const self = (): SelfAttentionParameters => ({
  norm: norm(4),
  qkv: pair(12, 4),
  proj: pair(4, 4),
});
const cross = (): CrossAttentionParameters => ({
  norm: norm(4),
  q: pair(4, 4),
  kv: pair(8, 4),
  proj: pair(4, 4),
});

describe.each(devices)('attentionBranch on $name', (device) => {
  beforeAll(device.use);

  it('returns x where the branch is dropped, and its gradient is that of x alone', () => {
    tf.tidy(() => {
      const x = tf.tensor3d([3, 1, 4, 1, 5, 9, 2, 6], [2, 1, 4]);
      const branchScale = tf.tensor1d([0, 1]);
      const run = (input: tf.Tensor): tf.Tensor =>
        attentionBranch(input, self(), { kind: 'self', heads: 2, branchScale });
      const first = (y: tf.Tensor): tf.Tensor => tf.slice(y, [0, 0, 0], [1, 1, 4]);
      expectClose(first(run(x)), [3, 1, 4, 1], { maxAbs: 0 });
      expectClose(first(tf.grad(run)(x)), [1, 1, 1, 1], { maxAbs: 0 });
      expect(run(x).shape).toEqual([2, 1, 4]);
    });
  });

  it('takes no queries in a cross branch: nothing is masked', () => {
    tf.tidy(() => {
      const context = tf.ones([2, 3, 4]);
      const x = tf.zeros([2, 0, 4]);
      const options = { kind: 'cross', heads: 2, context } as const;
      expect(attentionBranch(x, cross(), options).shape).toEqual([2, 0, 4]);
    });
  });

  it('names what does not fit, of kinds self and window', () => {
    tf.tidy(() => {
      const x = tf.ones([1, 8, 4]);
      const options = { kind: 'self', heads: 2 } as const;
      const p = self();
      expect(() => attentionBranch(tf.ones([8, 4]), p, options)).toThrow(
        'attentionBranch: x: expected [batch, tokens, width], got [8, 4]',
      );
      expect(() => attentionBranch(x, { ...p, norm: norm(3) }, options)).toThrow(
        'attentionBranch: norm.weight: expected [width = 4], got [3]',
      );
      const lopsided = { weight: tf.ones([4]), bias: tf.ones([3]) };
      expect(() => attentionBranch(x, { ...p, norm: lopsided }, options)).toThrow(
        'attentionBranch: norm.bias: expected [width = 4], got [3]',
      );
      expect(() => attentionBranch(x, p, { kind: 'self', heads: 3 })).toThrow(
        'attentionBranch: expected heads that divide the width, got 3 heads and width 4',
      );
      expect(() => attentionBranch(x, { ...p, qkv: pair(8, 4) }, options)).toThrow(
        'attentionBranch: qkv.weight: expected [3*width = 12, width = 4], got [8, 4]',
      );
      const short = { weight: tf.ones([12, 4]), bias: tf.ones([8]) };
      expect(() => attentionBranch(x, { ...p, qkv: short }, options)).toThrow(
        'attentionBranch: qkv.bias: expected [3*width = 12], got [8]',
      );
      expect(() => attentionBranch(x, { ...p, proj: pair(4, 8) }, options)).toThrow(
        'attentionBranch: proj.weight: expected [width = 4, width = 4], got [4, 8]',
      );
      const unbiased = { weight: tf.ones([4, 4]), bias: tf.ones([1]) };
      expect(() => attentionBranch(x, { ...p, proj: unbiased }, options)).toThrow(
        'attentionBranch: proj.bias: expected [width = 4], got [1]',
      );
      const branchScale = tf.ones([2]);
      expect(() => attentionBranch(x, p, { ...options, branchScale })).toThrow(
        'attentionBranch: branchScale: expected [batch = 1], got [2]',
      );
      const window = { kind: 'window', heads: 2, size: [2, 2], shift: [0, 0] } as const;
      const biased = { ...p, relBias: tf.ones([9, 2]) };
      expect(() => attentionBranch(x, biased, { ...window, grid: [3, 4] })).toThrow(
        'attentionBranch: expected a grid that the window divides, got grid [3, 4] and window [2, 2]',
      );
      expect(() => attentionBranch(x, biased, { ...window, grid: [2, 6] })).toThrow(
        'attentionBranch: expected 12 tokens for grid [2, 6], got 8',
      );
      const wrong = { ...p, relBias: tf.ones([4, 2]) };
      expect(() => attentionBranch(x, wrong, { ...window, grid: [2, 4] })).toThrow(
        'attentionBranch: relBias: expected [offsets = 9, heads = 2], got [4, 2]',
      );
    });
  });

  it('names what does not fit, of kind cross', () => {
    tf.tidy(() => {
      const x = tf.ones([1, 8, 4]);
      const options = { kind: 'cross', heads: 2, context: tf.ones([1, 3, 4]) } as const;
      const p = cross();
      const biased = { weight: tf.ones([4, 4]), bias: tf.ones([3]) };
      const short = { weight: tf.ones([8, 4]), bias: tf.ones([4]) };
      expect(() => attentionBranch(x, p, { ...options, context: tf.ones([2, 3, 4]) })).toThrow(
        'attentionBranch: context: expected [batch = 1, keys, width = 4], got [2, 3, 4]',
      );
      expect(() => attentionBranch(x, { ...p, q: pair(12, 4) }, options)).toThrow(
        'attentionBranch: q.weight: expected [width = 4, width = 4], got [12, 4]',
      );
      expect(() => attentionBranch(x, { ...p, q: biased }, options)).toThrow(
        'attentionBranch: q.bias: expected [width = 4], got [3]',
      );
      expect(() => attentionBranch(x, { ...p, kv: pair(12, 4) }, options)).toThrow(
        'attentionBranch: kv.weight: expected [2*width = 8, width = 4], got [12, 4]',
      );
      expect(() => attentionBranch(x, { ...p, kv: short }, options)).toThrow(
        'attentionBranch: kv.bias: expected [2*width = 8], got [4]',
      );
    });
  });
});
