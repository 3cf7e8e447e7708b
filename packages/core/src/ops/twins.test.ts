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
import { fold, keysTensorData, makeKey } from '../random.ts';
import * as ops from './index.ts';
import { branchCases } from './test-branch-twins.ts';
import { at, draw, norm } from './test-twin.ts';
import type { Case, Tensors } from './test-twin.ts';

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

const diffuseCases: Case[] = ['keys', 'values'].flatMap((kind) => {
  const noiseOf = (x: Tensors): ops.Noise =>
    kind === 'values'
      ? { values: at(x, 1) }
      : {
          keys: tf.tensor2d(
            keysTensorData([makeKey(1), fold(makeKey(2), 'noise')]),
            [2, 4],
            'int32',
          ),
        };
  const shapes = [[2, 5, 6], ...(kind === 'values' ? [[2, 3, 6]] : [])];
  const from = (x: Tensors): ops.DiffusedPatches => ({
    patches: at(x, 0),
    indices: int32(masked),
    signal: tf.tensor1d([0.5, 1]),
    noiseScale: tf.tensor1d([0.8, 0]),
    noise: noiseOf(x),
  });
  const throughLinear =
    (diffusedLinear: typeof ops.diffusedLinear) =>
    (...x: Tensors) =>
      diffusedLinear(from(x), { weight: at(x, shapes.length), bias: at(x, shapes.length + 1) });
  const run =
    (diffuse: typeof ops.diffuse) =>
    (...x: Tensors) => {
      const { patches, indices, signal, noiseScale, noise } = from(x);
      return diffuse(patches, indices, signal, noiseScale, noise);
    };
  return [
    {
      name: `diffuse, noise by ${kind}`,
      shapes,
      op: run(ops.diffuse),
      twin: run(ops.diffuseReference),
    },
    {
      name: `diffusedLinear, noise by ${kind}`,
      shapes: [...shapes, [4, 6], [4]],
      op: throughLinear(ops.diffusedLinear),
      twin: throughLinear(ops.diffusedLinearReference),
    },
  ];
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
  ...branchCases,
  ...tokenCases,
  ...diffuseCases,
  ...lossCases,
  ...infoNceCases,
  ...dropPathCases,
];

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
