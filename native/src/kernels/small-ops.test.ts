// SPDX-License-Identifier: Apache-2.0
// The small ops of @diffmavil/core, native against twin, at the shapes of its own tests and at some that are cut into chunks.
import * as ops from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, it } from 'vitest';
import { noAddon, skipNote, useNative } from '../test-native.ts';
import { draw, expectOpLikeTwin } from '../test-ops.ts';
import type { OpCase } from '../test-ops.ts';

const int32 = (rows: number[][]): tf.Tensor => tf.tensor2d(rows, undefined, 'int32');

const layerNormCases: OpCase[] = [
  { shape: [2, 5, 12], epsilon: 1e-6 },
  { shape: [3, 2], epsilon: 0.5 },
  { shape: [7], epsilon: 1e-6 },
  { shape: [2, 97, 333], epsilon: 1e-6 },
].map(({ shape, epsilon }) => ({
  name: `layerNorm of [${shape.join(', ')}], epsilon ${epsilon}`,
  shapes: [shape, [shape.at(-1) ?? 1], [shape.at(-1) ?? 1]],
  op: (x, weight, bias) => ops.layerNorm(x, { weight: weight, bias: bias }, { epsilon }),
  twin: (x, weight, bias) => ops.layerNormReference(x, { weight: weight, bias: bias }, { epsilon }),
}));

const tokenCases: OpCase[] = [
  { name: 'some', rows: [[2, 0], [1, 4]] }, // prettier-ignore
  { name: 'all', rows: [[4, 2, 0, 1, 3], [0, 1, 2, 3, 4]] }, // prettier-ignore
  { name: 'one twice', rows: [[3, 3], [0, 1]] }, // prettier-ignore
].flatMap(({ name, rows }) => [
  {
    name: `gatherTokens, ${name}`,
    shapes: [[2, 5, 3]],
    op: (x) => ops.gatherTokens(x, int32(rows)),
    twin: (x) => ops.gatherTokensReference(x, int32(rows)),
  },
  {
    name: `scatterTokens, ${name}`,
    shapes: [[2, rows[0]?.length ?? 0, 3]],
    op: (x) => ops.scatterTokens(x, int32(rows), 5),
    twin: (x) => ops.scatterTokensReference(x, int32(rows), 5),
  },
]);

const order = (): tf.Tensor =>
  int32([1, 2].map((seed) => [...ops.permutation(ops.makeKey(seed), 70).subarray(0, 40)]));

const longTokenCases: OpCase[] = [
  {
    name: 'gatherTokens, many',
    shapes: [[2, 70, 500]],
    op: (x) => ops.gatherTokens(x, order()),
    twin: (x) => ops.gatherTokensReference(x, order()),
  },
  {
    name: 'scatterTokens, many',
    shapes: [[2, 40, 500]],
    op: (x) => ops.scatterTokens(x, order(), 70),
    twin: (x) => ops.scatterTokensReference(x, order(), 70),
  },
];

const masked = [
  [4, 1, 0],
  [2, 3, 4],
];

const keys = (): tf.Tensor => {
  const data = ops.keysTensorData([ops.makeKey(1), ops.fold(ops.makeKey(2), 'noise')]);
  return tf.tensor2d(data, [2, 4], 'int32');
};

const diffuseCases: OpCase[] = ['keys', 'values'].flatMap((kind) => {
  const from = ([patches, values]: tf.Tensor[]): ops.DiffusedPatches => ({
    patches: patches!,
    indices: int32(masked),
    signal: tf.tensor1d([0.5, 1]),
    noiseScale: tf.tensor1d([0.8, 0]),
    noise: kind === 'values' ? { values: values! } : { keys: keys() },
  });
  const run =
    (diffuse: typeof ops.diffuse) =>
    (...x: tf.Tensor[]) => {
      const { patches, indices, signal, noiseScale, noise } = from(x);
      return diffuse(patches, indices, signal, noiseScale, noise);
    };
  const throughLinear =
    (diffusedLinear: typeof ops.diffusedLinear) =>
    (...x: tf.Tensor[]) => {
      const [weight, bias] = x.slice(-2);
      return diffusedLinear(from(x), { weight: weight!, bias: bias! });
    };
  const shapes = [[2, 5, 6], ...(kind === 'values' ? [[2, 3, 6]] : [])];
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

const lossCases: OpCase[] = [
  { normalizeTargets: false, values: 6 },
  { normalizeTargets: true, values: 6 },
  { normalizeTargets: true, values: 9001 },
].map(({ normalizeTargets, values }) => {
  const run =
    (loss: typeof ops.maskedPatchLoss) =>
    (...[x]: tf.Tensor[]) =>
      loss(x!, draw([2, 5, values], 'patches'), int32(masked), { normalizeTargets });
  return {
    name: `maskedPatchLoss of ${values} values, normalizeTargets ${normalizeTargets}`,
    shapes: [[2, 3, values]],
    op: run(ops.maskedPatchLoss),
    twin: run(ops.maskedPatchLossReference),
  };
});

const infoNceCases: OpCase[] = [
  { batch: 4, width: 5, temperature: 0.1 },
  { batch: 3, width: 5, temperature: 1 },
  { batch: 1, width: 5, temperature: 1 },
  { batch: 23, width: 70, temperature: 0.1 },
].map(({ batch, width, temperature }) => ({
  name: `infoNce of [${batch}, ${width}], temperature ${temperature}`,
  shapes: [
    [batch, width],
    [batch, width],
  ],
  op: (queries, keys) => ops.infoNce(queries, keys, { temperature }),
  twin: (queries, keys) => ops.infoNceReference(queries, keys, { temperature }),
}));

const dropPathCases: OpCase[] = [[2], [2, 3, 4], [2, 20_000]].map((shape) => ({
  name: `dropPath of [${shape.join(', ')}]`,
  shapes: [shape],
  op: (x) => ops.dropPath(x, tf.tensor1d([0, 1.25])),
  twin: (x) => ops.dropPathReference(x, tf.tensor1d([0, 1.25])),
}));

const geluCases: OpCase[] = [[], [5], [2, 3, 4], [40_000]].map((shape) => ({
  name: `gelu of [${shape.join(', ')}]`,
  shapes: [shape],
  op: (x) => ops.gelu(tf.mul(x, 6)),
  twin: (x) => ops.geluReference(tf.mul(x, 6)),
}));

const cases = [
  ...layerNormCases,
  ...tokenCases,
  ...longTokenCases,
  ...diffuseCases,
  ...lossCases,
  ...infoNceCases,
  ...dropPathCases,
  ...geluCases,
];

describe.skipIf(noAddon)(`small ops${skipNote}`, () => {
  beforeEach(useNative);

  it.each(cases)('$name: has the value and the gradients of its twin', async (one) => {
    await expectOpLikeTwin(one);
  });
});
