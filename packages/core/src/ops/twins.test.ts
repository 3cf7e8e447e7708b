// SPDX-License-Identifier: Apache-2.0
// Every differentiable op against its reference twin (value and gradients) and against finite
// differences, on every device, and what it leaves behind. One case for each branch of a kernel.
import * as tf from '@tensorflow/tfjs-core';
import {
  devices,
  expectClose,
  expectNoLeak,
  finiteDifference,
  type Tolerance,
} from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { fold, keysTensorData, makeKey, normals } from '../random.ts';
import * as ops from './index.ts';

type Tensors = tf.Tensor[];

interface Case {
  readonly name: string;
  /** Shapes of the differentiated inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly op: (...x: Tensors) => tf.Tensor;
  readonly twin: (...x: Tensors) => tf.Tensor;
  /** Bound of |op - twin|; values and gradients here are of order 1 (at most about 20). */
  readonly maxAbs?: number;
}

const at = (x: Tensors, i: number): tf.Tensor => {
  const tensor = x[i];
  if (tensor === undefined) throw new Error(`no tensor ${i}`);
  return tensor;
};

const linearCases: Case[] = [
  { name: 'two batch axes', shape: [2, 5, 6], biased: true, options: {} },
  { name: 'gelu', shape: [3, 6], biased: true, options: { activation: 'gelu' as const } },
  { name: 'no bias', shape: [1, 6], biased: false, options: {} },
  { name: 'no bias, one row', shape: [6], biased: false, options: { activation: 'gelu' as const } },
].map(({ name, shape, biased, options }) => {
  const run =
    (linear: typeof ops.linear) =>
    (...x: Tensors) =>
      linear(at(x, 0), at(x, 1), biased ? at(x, 2) : null, options);
  return {
    name: `linear, ${name}`,
    shapes: [shape, [4, 6], ...(biased ? [[4]] : [])],
    op: run(ops.linear),
    twin: run(ops.linearReference),
  };
});

const norm = (x: Tensors, i: number): ops.NormParameters => ({
  weight: at(x, i),
  bias: at(x, i + 1),
});

const layerNormCases: Case[] = [
  { shape: [2, 5, 12], epsilon: 1e-6 },
  { shape: [3, 2], epsilon: 0.5 },
  { shape: [7], epsilon: 1e-6 },
].map(({ shape, epsilon }) => ({
  name: `layerNorm of [${shape.join(', ')}], epsilon ${epsilon}`,
  shapes: [shape, [shape.at(-1) ?? 1], [shape.at(-1) ?? 1]],
  op: (...x) => ops.layerNorm(at(x, 0), norm(x, 1), { epsilon }),
  twin: (...x) => ops.layerNormReference(at(x, 0), norm(x, 1), { epsilon }),
}));

const geluCases: Case[] = [[], [5], [2, 3, 4]].map((shape) => ({
  name: `gelu of [${shape.join(', ')}]`,
  shapes: [shape],
  op: (...x) => ops.gelu(at(x, 0)),
  twin: (...x) => ops.geluReference(at(x, 0)),
}));

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

const int32 = (values: number[][]): tf.Tensor => tf.tensor2d(values, undefined, 'int32');

const tokenCases: Case[] = [
  { name: 'some', rows: [[2, 0], [1, 4]] }, // prettier-ignore
  { name: 'all', rows: [[4, 2, 0, 1, 3], [0, 1, 2, 3, 4]] }, // prettier-ignore
  { name: 'one twice', rows: [[3, 3], [0, 1]] }, // prettier-ignore
].flatMap(({ name, rows }) => [
  {
    name: `gatherTokens, ${name}`,
    shapes: [[2, 5, 3]],
    op: (...x) => ops.gatherTokens(at(x, 0), int32(rows)),
    twin: (...x) => ops.gatherTokensReference(at(x, 0), int32(rows)),
  },
  {
    name: `scatterTokens, ${name}`,
    shapes: [[2, rows[0]?.length ?? 0, 3]],
    op: (...x) => ops.scatterTokens(at(x, 0), int32(rows), 5),
    twin: (...x) => ops.scatterTokensReference(at(x, 0), int32(rows), 5),
  },
]);

const masked = [
  [4, 1, 0],
  [2, 3, 4],
];

const diffuseCases: Case[] = ['keys', 'values'].map((kind) => {
  const noise = (x: Tensors): ops.Noise =>
    kind === 'values'
      ? { values: at(x, 1) }
      : {
          keys: tf.tensor2d(
            keysTensorData([makeKey(1), fold(makeKey(2), 'noise')]),
            [2, 4],
            'int32',
          ),
        };
  const run =
    (diffuse: typeof ops.diffuse) =>
    (...x: Tensors) =>
      diffuse(at(x, 0), int32(masked), tf.tensor1d([0.5, 1]), tf.tensor1d([0.8, 0]), noise(x));
  return {
    name: `diffuse, noise by ${kind}`,
    shapes: [[2, 5, 6], ...(kind === 'values' ? [[2, 3, 6]] : [])],
    op: run(ops.diffuse),
    twin: run(ops.diffuseReference),
  };
});

const lossCases: Case[] = [false, true].map((normalizeTargets) => {
  const patches = (): tf.Tensor => draw([2, 5, 6], 'patches');
  const run =
    (loss: typeof ops.maskedPatchLoss) =>
    (...x: Tensors) =>
      loss(at(x, 0), patches(), int32(masked), { normalizeTargets });
  return {
    name: `maskedPatchLoss, normalizeTargets ${normalizeTargets}`,
    shapes: [[2, 3, 6]],
    op: run(ops.maskedPatchLoss),
    twin: run(ops.maskedPatchLossReference),
  };
});

const infoNceCases: Case[] = [
  { batch: 4, temperature: 0.1 },
  { batch: 3, temperature: 1 },
  { batch: 1, temperature: 1 },
].map(({ batch, temperature }) => ({
  name: `infoNce of ${batch}, temperature ${temperature}`,
  shapes: [
    [batch, 5],
    [batch, 5],
  ],
  op: (...x) => ops.infoNce(at(x, 0), at(x, 1), { temperature }),
  twin: (...x) => ops.infoNceReference(at(x, 0), at(x, 1), { temperature }),
}));

const dropPathCases: Case[] = [[2], [2, 3, 4]].map((shape) => ({
  name: `dropPath of [${shape.join(', ')}]`,
  shapes: [shape],
  op: (...x) => ops.dropPath(at(x, 0), tf.tensor1d([0, 1.25])),
  twin: (...x) => ops.dropPathReference(at(x, 0), tf.tensor1d([0, 1.25])),
}));

const cases: readonly Case[] = [
  ...linearCases,
  ...layerNormCases,
  ...geluCases,
  ...attentionCases,
  ...selfCases,
  ...windowCases,
  ...crossCases,
  ...mlpCases,
  ...tokenCases,
  ...diffuseCases,
  ...lossCases,
  ...infoNceCases,
  ...dropPathCases,
];

const seed = 20231004;

function draw(shape: readonly number[], ...data: (number | string)[]): tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = normals(fold(makeKey(seed), ...data), size).map((value) => value / 2);
  return tf.tensor(values, [...shape], 'float32');
}

/** dy and the gradients of sum(dy * f(x)). */
function gradients(f: Case['op'], x: Tensors, dy: tf.Tensor): Tensors {
  return tf.grads((...inputs: Tensors) => tf.sum(tf.mul(dy, f(...inputs))))(x);
}

/**
 * `expectClose`, but where all that is expected is 0 (scores of one key have no gradient) within
 * 1e-5 of it.
 */
function expectCloseOrZero(
  actual: tf.Tensor,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): void {
  const zero = Array.from(expected).every((value) => Math.abs(value) < 1e-5);
  expectClose(actual, expected, zero ? { maxAbs: 1e-5 } : tolerance);
}

describe.each(devices)('on $name', (device) => {
  beforeAll(device.use);

  describe.each(cases)('$name', ({ name, shapes, op, twin, maxAbs = 2e-5 }) => {
    const inputs = (): Tensors => shapes.map((shape, i) => draw(shape, name, i));

    it('equals its twin, value and gradients', () => {
      tf.tidy(() => {
        const x = inputs();
        const expected = twin(...x);
        const actual = op(...x);
        expect(actual.shape).toEqual(expected.shape);
        expectClose(actual, expected, { nmse: 1e-7, maxAbs });
        const dy = draw(expected.shape, name, 'dy');
        const expectedGradients = gradients(twin, x, dy);
        for (const [i, gradient] of gradients(op, x, dy).entries()) {
          expectCloseOrZero(gradient, at(expectedGradients, i).dataSync(), { nmse: 1e-7, maxAbs });
        }
      });
    });

    it('leaves nothing behind', () => {
      const x = inputs();
      const shape = tf.tidy(() => op(...x).shape);
      const dy = draw(shape, name, 'dy');
      const run = (): number => {
        const y = tf.tidy(() => op(...x));
        const all = tf.tidy(() => gradients(op, x, dy));
        tf.dispose([y, all]);
        return all.length;
      };
      expect(expectNoLeak(run)).toBe(x.length);
      tf.dispose([...x, dy]);
    });
  });
});

// The devices agree with the twin, so one of them is enough here.
describe('on cpu, by finite differences', () => {
  beforeAll(() => devices[0]?.use());

  it.each(cases)('$name: has the gradients that they measure', ({ name, shapes, op }) => {
    tf.tidy(() => {
      const x = shapes.map((shape, i) => draw(shape, name, i));
      const dy = draw(op(...x).shape, name, 'dy');
      const measured = finiteDifference(op, x, { dy: dy.dataSync() });
      expect(measured).toHaveLength(x.length);
      for (const [i, gradient] of gradients(op, x, dy).entries()) {
        expectCloseOrZero(gradient, measured[i] ?? [], { nmse: 1e-6 });
      }
    });
  });
});
