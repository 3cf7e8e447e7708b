// SPDX-License-Identifier: Apache-2.0
// Attention and the branches of a block: value and gradients against their twins in plain ops.
import * as ops from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { opCase } from './case.ts';
import type { Draw, FuzzCase } from './case.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 4;

type Branch = typeof ops.attentionBranchReference;
const nativeBranch = ops.attentionBranch as Branch;

const bound = { nmse: 1e-10, abs: 1e-4 };

/** heads, and a width that they divide. */
function headsAndWidth(fuzz: Fuzz): [number, number] {
  const heads = fuzz.pick([1, 2, 3]);
  return [heads, heads * fuzz.pick([1, 4, 5, 16, 24])];
}

/** A grid of whole windows. */
function window(fuzz: Fuzz): ops.WindowOptions {
  const size: [number, number] = [fuzz.pick([1, 2, 4]), fuzz.pick([2, 4])];
  const grid: [number, number] = [size[0] * fuzz.integer(1, 2), size[1] * fuzz.integer(1, 2)];
  const shift: [number, number] = [
    grid[0] > size[0] ? fuzz.integer(0, size[0] - 1) : 0,
    grid[1] > size[1] ? fuzz.integer(0, size[1] - 1) : 0,
  ];
  return { grid, size, shift };
}

function relBias(fuzz: Fuzz, { size: [a, b] }: ops.WindowOptions, heads: number): Data {
  return fuzz.plain([(2 * a - 1) * (2 * b - 1), heads]);
}

function attention(fuzz: Fuzz): FuzzCase[] {
  const whole = [51, 7, 1, 1, ...Array.from({ length: rounds }, () => fuzz.integer(1, 30))];
  const plain = whole.map((queries) => {
    const [heads, width] = headsAndWidth(fuzz);
    const keys = fuzz.pick([1, 3, 17, 102]);
    const inputs = [queries, keys, keys].map((tokens) => fuzz.plain([2, tokens, width]));
    const [op, twin] = [ops.attention, ops.attentionReference].map(
      (f) =>
        (...[query, key, value]: tf.Tensor[]): tf.Tensor =>
          f(query!, key!, value!, { heads }),
    );
    return opCase(fuzz, `attention of ${heads} heads`, inputs, op!, twin, bound);
  });
  const windowed = Array.from({ length: rounds }, () => {
    const [heads, width] = headsAndWidth(fuzz);
    const place = window(fuzz);
    const tokens = [2, place.grid[0] * place.grid[1], width];
    const inputs = [tokens, tokens, tokens].map((shape) => fuzz.plain(shape));
    if (fuzz.integer(0, 1) === 1) inputs.push(relBias(fuzz, place, heads));
    const [op, twin] = [ops.attention, ops.attentionReference].map(
      (f) =>
        (...[query, key, value, bias]: tf.Tensor[]): tf.Tensor =>
          f(query!, key!, value!, { heads, window: place, relBias: bias ?? null }),
    );
    return opCase(fuzz, `attention of ${JSON.stringify(place)}`, inputs, op!, twin, bound);
  });
  return [...plain, ...windowed];
}

function linearOf(fuzz: Fuzz, out: number, width: number): Data[] {
  const { values, ...rest } = fuzz.plain([out, width]);
  const weight = { ...rest, values: values.map((value) => value / Math.sqrt(width)) };
  return [weight, fuzz.plain([out])];
}

const pair = (x: readonly tf.Tensor[], i: number): ops.LinearParameters => ({
  weight: x[i]!,
  bias: x[i + 1]!,
});

function selfBranch(fuzz: Fuzz): FuzzCase {
  const [heads, width] = headsAndWidth(fuzz);
  const dropped = fuzz.integer(0, 1) === 1;
  const run =
    (branch: Branch) =>
    (...x: tf.Tensor[]): tf.Tensor => {
      const branchScale = dropped ? tf.tensor1d([0, 1.25]) : null;
      const parameters = { norm: pair(x, 1), qkv: pair(x, 3), proj: pair(x, 5) };
      return branch(x[0]!, parameters, { kind: 'self', heads, branchScale });
    };
  const inputs = [
    fuzz.plain([2, fuzz.pick([1, 5, 51]), width]),
    fuzz.plain([width]),
    fuzz.plain([width]),
    ...linearOf(fuzz, 3 * width, width),
    ...linearOf(fuzz, width, width),
  ];
  const title = `self attention branch of ${heads} heads`;
  return opCase(fuzz, title, inputs, run(nativeBranch), run(ops.attentionBranchReference), bound);
}

function windowBranch(fuzz: Fuzz): FuzzCase {
  const [heads, width] = headsAndWidth(fuzz);
  const place = window(fuzz);
  const run =
    (branch: Branch) =>
    (...x: tf.Tensor[]): tf.Tensor => {
      const parameters = { norm: pair(x, 1), qkv: pair(x, 3), proj: pair(x, 5), relBias: x[7]! };
      return branch(x[0]!, parameters, { kind: 'window', heads, ...place });
    };
  const inputs = [
    fuzz.plain([2, place.grid[0] * place.grid[1], width]),
    fuzz.plain([width]),
    fuzz.plain([width]),
    ...linearOf(fuzz, 3 * width, width),
    ...linearOf(fuzz, width, width),
    relBias(fuzz, place, heads),
  ];
  const title = `window attention branch of ${JSON.stringify(place)}`;
  return opCase(fuzz, title, inputs, run(nativeBranch), run(ops.attentionBranchReference), bound);
}

function crossBranch(fuzz: Fuzz): FuzzCase {
  const [heads, width] = headsAndWidth(fuzz);
  const run =
    (branch: Branch) =>
    (...x: tf.Tensor[]): tf.Tensor => {
      const parameters = { norm: pair(x, 2), q: pair(x, 4), kv: pair(x, 6), proj: pair(x, 8) };
      return branch(x[0]!, parameters, { kind: 'cross', heads, context: x[1]! });
    };
  const inputs = [
    fuzz.plain([2, fuzz.pick([1, 5, 7]), width]),
    fuzz.plain([2, fuzz.pick([1, 3, 51]), width]),
    fuzz.plain([width]),
    fuzz.plain([width]),
    ...linearOf(fuzz, width, width),
    ...linearOf(fuzz, 2 * width, width),
    ...linearOf(fuzz, width, width),
  ];
  const title = `cross attention branch of ${heads} heads`;
  return opCase(fuzz, title, inputs, run(nativeBranch), run(ops.attentionBranchReference), bound);
}

function attentionBranch(fuzz: Fuzz): FuzzCase[] {
  const kinds = [selfBranch, windowBranch, crossBranch];
  return Array.from({ length: rounds }, () => kinds.map((kind) => kind(fuzz))).flat();
}

function mlpBranch(fuzz: Fuzz): FuzzCase[] {
  return Array.from({ length: 2 * rounds }, () => {
    const [width, hidden] = [fuzz.pick([2, 7, 12, 32]), fuzz.pick([1, 3, 20, 128])];
    const dropped = fuzz.integer(0, 1) === 1;
    const run =
      (branch: typeof ops.mlpBranch) =>
      (...x: tf.Tensor[]): tf.Tensor => {
        const branchScale = dropped ? tf.tensor1d([0.5, 1.25]) : null;
        const parameters = { norm: pair(x, 1), fc1: pair(x, 3), fc2: pair(x, 5) };
        return branch(x[0]!, parameters, { branchScale });
      };
    const inputs = [
      fuzz.plain([2, fuzz.pick([1, 5, 51]), width]),
      fuzz.plain([width]),
      fuzz.plain([width]),
      ...linearOf(fuzz, hidden, width),
      ...linearOf(fuzz, width, hidden),
    ];
    const twin = run(ops.mlpBranchReference);
    return opCase(fuzz, 'mlp branch', inputs, run(ops.mlpBranch), twin, bound);
  });
}

export const branchCases: Readonly<Record<string, Draw>> = {
  DmAttention: attention,
  DmAttentionBranch: attentionBranch,
  DmAttentionBranchGrad: attentionBranch,
  DmAttentionGrad: attention,
  DmMlpBranch: mlpBranch,
  DmMlpBranchGrad: mlpBranch,
};
