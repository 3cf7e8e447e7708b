// SPDX-License-Identifier: Apache-2.0
// attention, attentionBranch and mlpBranch, native against twin: the shapes of @diffmavil/core's own
// tests, and odd lengths that are no multiple of a register, a tile or a block.
import * as ops from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';
import { draw, expectOpLikeTwin } from '../test-ops.ts';
import type { OpCase } from '../test-ops.ts';
import {
  expectNoWorseThanRounded,
  roundedAttentionBranch,
  roundedMlpBranch,
} from '../test-bfloat16.ts';
import type { RoundedCase } from '../test-bfloat16.ts';

type Tensors = tf.Tensor[];

const at = (x: Tensors, i: number): tf.Tensor => {
  const tensor = x[i];
  if (tensor === undefined) throw new Error(`no tensor ${i}`);
  return tensor;
};
const pair = (x: Tensors, i: number): ops.LinearParameters => ({
  weight: at(x, i),
  bias: at(x, i + 1),
});
const linearShapes = (out: number, width: number): number[][] => [[out, width], [out]];

const windows: Record<string, ops.WindowOptions> = {
  'shifted 8x8': { grid: [8, 8], size: [4, 4], shift: [2, 2] },
  'shifted 4x8': { grid: [4, 8], size: [4, 4], shift: [2, 2] },
  'small, shifted by 1': { grid: [4, 4], size: [2, 2], shift: [1, 1] },
  'not shifted': { grid: [8, 4], size: [4, 4], shift: [0, 0] },
};

const attentionCases: OpCase[] = [
  { lengths: [5, 5], width: 12, heads: 3 },
  { lengths: [7, 3], width: 4, heads: 1 },
  { lengths: [1, 6], width: 6, heads: 6 },
  { lengths: [4, 1], width: 6, heads: 2 },
  { lengths: [51, 7], width: 48, heads: 1 },
  { lengths: [7, 102], width: 48, heads: 2 },
].map(({ lengths: [queries = 1, keys = 1], width, heads }) => ({
  name: `attention of ${queries} queries and ${keys} keys, heads ${heads} of ${width / heads}`,
  shapes: [
    [2, queries, width],
    [2, keys, width],
    [2, keys, width],
  ],
  op: (...x) => ops.attention(at(x, 0), at(x, 1), at(x, 2), { heads }),
  twin: (...x) => ops.attentionReference(at(x, 0), at(x, 1), at(x, 2), { heads }),
}));

const windowCases: OpCase[] = Object.entries(windows).flatMap(([name, window]) =>
  [true, false].map((biased) => {
    const [rows, columns] = window.grid;
    const tokens = [2, rows * columns, 8];
    const [a, b] = window.size;
    const options = (x: Tensors): ops.AttentionOptions => ({
      heads: 2,
      window,
      ...(biased ? { relBias: at(x, 3) } : {}),
    });
    return {
      name: `attention in windows, ${name}, ${biased ? 'with a bias' : 'without a bias'}`,
      shapes: [tokens, tokens, tokens, ...(biased ? [[(2 * a - 1) * (2 * b - 1), 2]] : [])],
      op: (...x: Tensors) => ops.attention(at(x, 0), at(x, 1), at(x, 2), options(x)),
      twin: (...x: Tensors) => ops.attentionReference(at(x, 0), at(x, 1), at(x, 2), options(x)),
    };
  }),
);

/** Of values up to 120. */
const tolerance = { nmse: 1e-11, maxAbs: 1e-4 };

const selfCases: RoundedCase[] = [
  { shape: [2, 5, 12], heads: 3, drop: false },
  { shape: [1, 1, 16], heads: 1, drop: false },
  { shape: [2, 51, 32], heads: 2, drop: true },
].map(({ shape, heads, drop }) => {
  const [batch = 1, tokens = 1, width = 1] = shape;
  const run =
    (branch: typeof ops.attentionBranchReference, precision: ops.Precision) =>
    (...x: Tensors) => {
      const branchScale = drop ? tf.tensor1d([0, 1.25]) : null;
      const parameters = { norm: pair(x, 1), qkv: pair(x, 3), proj: pair(x, 5) };
      return branch(at(x, 0), parameters, { kind: 'self', heads, branchScale, precision });
    };
  return {
    name: `self attention branch of [${batch}, ${tokens}, ${width}]`,
    shapes: [
      shape,
      [width],
      [width],
      ...linearShapes(3 * width, width),
      ...linearShapes(width, width),
    ],
    op: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'float32'),
    twin: run(ops.attentionBranchReference, 'float32'),
    inBfloat16: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'bfloat16'),
    rounded: run(roundedAttentionBranch, 'float32'),
    tolerance,
  };
});

const windowBranchCases: RoundedCase[] = Object.entries(windows).map(([name, window]) => {
  const [rows, columns] = window.grid;
  const [a, b] = window.size;
  const run =
    (branch: typeof ops.attentionBranchReference, precision: ops.Precision) =>
    (...x: Tensors) => {
      const parameters = {
        norm: pair(x, 1),
        qkv: pair(x, 3),
        proj: pair(x, 5),
        relBias: at(x, 7),
      };
      return branch(at(x, 0), parameters, { kind: 'window', heads: 2, ...window, precision });
    };
  return {
    name: `window attention branch, ${name}`,
    shapes: [
      [2, rows * columns, 16],
      [16],
      [16],
      ...linearShapes(48, 16),
      ...linearShapes(16, 16),
      [(2 * a - 1) * (2 * b - 1), 2],
    ],
    op: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'float32'),
    twin: run(ops.attentionBranchReference, 'float32'),
    inBfloat16: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'bfloat16'),
    rounded: run(roundedAttentionBranch, 'float32'),
    tolerance,
  };
});

const crossCases: RoundedCase[] = [
  { tokens: 5, keys: 3 },
  { tokens: 7, keys: 51 },
].map(({ tokens, keys }) => {
  const run =
    (branch: typeof ops.attentionBranchReference, precision: ops.Precision) =>
    (...x: Tensors) => {
      const parameters = {
        norm: pair(x, 2),
        q: pair(x, 4),
        kv: pair(x, 6),
        proj: pair(x, 8),
      };
      const options = { kind: 'cross', heads: 2, context: at(x, 1), precision } as const;
      return branch(at(x, 0), parameters, options);
    };
  return {
    name: `cross attention branch of ${tokens} tokens and ${keys} of context`,
    shapes: [
      [2, tokens, 16],
      [2, keys, 16],
      [16],
      [16],
      ...linearShapes(16, 16),
      ...linearShapes(32, 16),
      ...linearShapes(16, 16),
    ],
    op: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'float32'),
    twin: run(ops.attentionBranchReference, 'float32'),
    inBfloat16: run(ops.attentionBranch as typeof ops.attentionBranchReference, 'bfloat16'),
    rounded: run(roundedAttentionBranch, 'float32'),
    tolerance,
  };
});

const mlpCases: RoundedCase[] = [
  { shape: [2, 5, 12], hidden: 20, drop: true },
  { shape: [1, 1, 7], hidden: 3, drop: false },
  { shape: [2, 51, 32], hidden: 128, drop: false },
].map(({ shape, hidden, drop }) => {
  const width = shape.at(-1) ?? 1;
  const run =
    (branch: typeof ops.mlpBranchReference, precision: ops.Precision) =>
    (...x: Tensors) => {
      const branchScale = drop ? tf.tensor1d([0.5, 1.25]) : null;
      const parameters = { norm: pair(x, 1), fc1: pair(x, 3), fc2: pair(x, 5) };
      return branch(at(x, 0), parameters, { branchScale, precision });
    };
  return {
    name: `mlp branch of [${shape.join(', ')}]`,
    shapes: [
      shape,
      [width],
      [width],
      ...linearShapes(hidden, width),
      ...linearShapes(width, hidden),
    ],
    op: run(ops.mlpBranch, 'float32'),
    twin: run(ops.mlpBranchReference, 'float32'),
    inBfloat16: run(ops.mlpBranch, 'bfloat16'),
    rounded: run(roundedMlpBranch, 'float32'),
    tolerance,
  };
});

const branches = [...selfCases, ...windowBranchCases, ...crossCases, ...mlpCases];

describe.skipIf(noAddon)(`attention and branches${skipNote}`, () => {
  beforeEach(useNative);

  it.each([...attentionCases, ...windowCases, ...branches])(
    '$name: has the value and the gradients of its twin',
    async (one) => {
      await expectOpLikeTwin(one);
    },
  );

  it.each(branches)('$name: loses at most twice what its twin does in bfloat16', async (one) => {
    await expectNoWorseThanRounded(one);
  });

  it.each(branches)(
    '$name: has the same bits for any number of threads in bfloat16',
    async (one) => {
      await expectOpLikeTwin({ ...one, op: one.inBfloat16, tolerance: { nmse: 2 ** -10 } });
    },
  );

  it('takes no queries in a cross branch: nothing is masked', () => {
    tf.tidy(() => {
      const linear = (out: number): ops.LinearParameters => ({
        weight: draw([out, 4], 'weight', out),
        bias: draw([out], 'bias', out),
      });
      const norm = { weight: tf.ones([4]), bias: tf.zeros([4]) };
      const parameters = { norm, q: linear(4), kv: linear(8), proj: linear(4) };
      const context = tf.ones([2, 3, 4]);
      const options = { kind: 'cross', heads: 2, context } as const;
      resetDelegatedKernels();
      expect(ops.attentionBranch(tf.zeros([2, 0, 4]), parameters, options).shape).toEqual([
        2, 0, 4,
      ]);
      expect(delegatedKernels()).toEqual({});
    });
  });
});
