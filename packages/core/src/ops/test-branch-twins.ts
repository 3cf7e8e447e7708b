// SPDX-License-Identifier: Apache-2.0
// Cases of twins.test.ts: attention and the branches.
import * as tf from '@tensorflow/tfjs-core';
import * as ops from './index.ts';
import { at, norm } from './test-twin.ts';
import type { Case, Tensors } from './test-twin.ts';

const attentionCases: Case[] = [
  { name: 'self', lengths: [5, 5], width: 12, heads: 3 },
  { name: 'more queries than keys', lengths: [7, 3], width: 4, heads: 1 },
  { name: 'one query', lengths: [1, 6], width: 6, heads: 6 },
  { name: 'one key', lengths: [4, 1], width: 6, heads: 2 },
  { name: 'windows without a bias', lengths: [8, 8], width: 4, heads: 2, window: 'shifted' },
  { name: 'shifted windows', lengths: [16, 16], width: 4, heads: 2, window: 'biased' },
].map(({ name, lengths, width, heads, window }) => {
  const [queries = 1, keys = 1] = lengths;
  const layout: ops.WindowOptions = {
    grid: [queries / 4, 4],
    size: [2, 2],
    shift: [1, 1],
  };
  const options = (x: Tensors): ops.AttentionOptions => ({
    heads,
    ...(window === undefined ? {} : { window: layout }),
    ...(window === 'biased' ? { relBias: at(x, 3) } : {}),
  });
  return {
    name: `attention, ${name}`,
    shapes: [
      [2, queries, width],
      [2, keys, width],
      [2, keys, width],
      ...(window === 'biased' ? [[9, heads]] : []),
    ],
    op: (...x) => ops.attention(at(x, 0), at(x, 1), at(x, 2), options(x)),
    twin: (...x) => ops.attentionReference(at(x, 0), at(x, 1), at(x, 2), options(x)),
  };
});

const linearShapes = (out: number, width: number): number[][] => [[out, width], [out]];

const selfParameters = (x: Tensors): ops.SelfAttentionParameters => ({
  norm: norm(x, 1),
  qkv: norm(x, 3),
  proj: norm(x, 5),
});

const selfShapes = (x: readonly number[]): number[][] => {
  const width = x.at(-1) ?? 1;
  return [
    [...x],
    [width],
    [width],
    ...linearShapes(3 * width, width),
    ...linearShapes(width, width),
  ];
};

const scaled = (factors: number[] | null): { branchScale: tf.Tensor } | object =>
  factors === null ? {} : { branchScale: tf.tensor1d(factors) };

const selfCases: Case[] = [
  { shape: [2, 5, 12], heads: 3, factors: null },
  { shape: [2, 3, 4], heads: 2, factors: [0, 1.25] },
  { shape: [1, 1, 2], heads: 1, factors: null },
].map(({ shape, heads, factors }) => {
  const options = (): ops.SelfBranchOptions => ({ kind: 'self', heads, ...scaled(factors) });
  return {
    name: `attentionBranch, self, [${shape.join(', ')}], ${heads} heads, scale ${String(factors)}`,
    shapes: selfShapes(shape),
    op: (...x) => ops.attentionBranch(at(x, 0), selfParameters(x), options()),
    twin: (...x) => ops.attentionBranchReference(at(x, 0), selfParameters(x), options()),
  };
});

const windowCases: Case[] = [
  { grid: [8, 4], size: [4, 4], shift: [2, 2], batch: 1 },
  { grid: [4, 6], size: [2, 3], shift: [1, 2], batch: 2 },
  { grid: [2, 2], size: [2, 2], shift: [1, 1], batch: 1 },
  { grid: [2, 4], size: [1, 2], shift: [0, 0], batch: 2 },
].map(({ grid, size, shift, batch }) => {
  const [rows = 1, columns = 1] = grid;
  const [a = 1, b = 1] = size;
  const options = (): ops.WindowBranchOptions => ({
    kind: 'window',
    heads: 2,
    grid: [rows, columns],
    size: [a, b],
    shift: [shift[0] ?? 0, shift[1] ?? 0],
    ...scaled(batch === 2 ? [0.5, 2] : null),
  });
  const parameters = (x: Tensors): ops.WindowAttentionParameters => ({
    ...selfParameters(x),
    relBias: at(x, 7),
  });
  return {
    name: `attentionBranch, window [${size.join(', ')}] of grid [${grid.join(', ')}], shift [${shift.join(', ')}]`,
    shapes: [...selfShapes([batch, rows * columns, 4]), [ops.biasTableRows([a, b]), 2]],
    op: (...x) => ops.attentionBranch(at(x, 0), parameters(x), options()),
    twin: (...x) => ops.attentionBranchReference(at(x, 0), parameters(x), options()),
  };
});

const crossCases: Case[] = [
  { lengths: [5, 7], factors: null },
  { lengths: [4, 1], factors: [1.5, 0] },
].map(({ lengths, factors }) => {
  const [tokens = 1, keys = 1] = lengths;
  const parameters = (x: Tensors): ops.CrossAttentionParameters => ({
    norm: norm(x, 1),
    q: norm(x, 3),
    kv: norm(x, 5),
    proj: norm(x, 7),
  });
  const options = (x: Tensors): ops.CrossBranchOptions => ({
    kind: 'cross',
    heads: 3,
    context: at(x, 9),
    ...scaled(factors),
  });
  return {
    name: `attentionBranch, cross, ${tokens} tokens, ${keys} keys, scale ${String(factors)}`,
    shapes: [
      [2, tokens, 6],
      [6],
      [6],
      ...linearShapes(6, 6),
      ...linearShapes(12, 6),
      ...linearShapes(6, 6),
      [2, keys, 6],
    ],
    op: (...x) => ops.attentionBranch(at(x, 0), parameters(x), options(x)),
    twin: (...x) => ops.attentionBranchReference(at(x, 0), parameters(x), options(x)),
  };
});

const mlpCases: Case[] = [
  { shape: [2, 5, 6], hidden: 12, factors: null },
  { shape: [2, 1, 3], hidden: 1, factors: [2, 0] },
].map(({ shape, hidden, factors }) => {
  const width = shape[2] ?? 1;
  const parameters = (x: Tensors): ops.MlpBranchParameters => ({
    norm: norm(x, 1),
    fc1: norm(x, 3),
    fc2: norm(x, 5),
  });
  return {
    name: `mlpBranch, [${shape.join(', ')}], hidden ${hidden}, scale ${String(factors)}`,
    shapes: [
      shape,
      [width],
      [width],
      ...linearShapes(hidden, width),
      ...linearShapes(width, hidden),
    ],
    op: (...x) => ops.mlpBranch(at(x, 0), parameters(x), scaled(factors)),
    twin: (...x) => ops.mlpBranchReference(at(x, 0), parameters(x), scaled(factors)),
  };
});

export const branchCases: readonly Case[] = [
  ...attentionCases,
  ...selfCases,
  ...windowCases,
  ...crossCases,
  ...mlpCases,
];
