// SPDX-License-Identifier: Apache-2.0
// The ops of @diffmavil/core but attention and the branches: value and gradients against their twins in plain ops.
import * as ops from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { opCase, upload } from './case.ts';
import type { Draw, FuzzCase } from './case.ts';
import type { Data, Fuzz } from './draw.ts';

const rounds = 8;

/** Elementwise on elements of order 1. */
const tight = { abs: 1e-5 };

function lengths(fuzz: Fuzz, count: number, most = 9): number[] {
  return Array.from({ length: count }, () => fuzz.pick([1, 2, 3, fuzz.integer(1, most)]));
}

/** Samples, tokens, width; two tokens at least, since the twins use tf.oneHot, which takes no less. */
function tokenSizes(fuzz: Fuzz): [number, number, number] {
  const [batch = 1, tokens = 1, width = 1] = lengths(fuzz, 3);
  return [batch, Math.max(2, tokens), width];
}

/** Some of 0..tokens-1 for each sample, each once. */
function masks(fuzz: Fuzz, batch: number, tokens: number, count: number): Data {
  const rows = Array.from({ length: batch }, () => fuzz.order(tokens).slice(0, count));
  return { values: Int32Array.from(rows.flat()), shape: [batch, count], dtype: 'int32' };
}

function layerNorm(fuzz: Fuzz): FuzzCase[] {
  const drawn = Array.from({ length: rounds }, () => lengths(fuzz, fuzz.integer(1, 3), 40));
  return [[2, 97, 333], [1], ...drawn].map((shape) => {
    const row = [shape.at(-1)!];
    // One value alone has no variance: its slope is that of the epsilon.
    const epsilon = fuzz.pick([1e-3, 0.5]);
    const run =
      (f: typeof ops.layerNorm) =>
      (...[x, weight, bias]: tf.Tensor[]): tf.Tensor =>
        f(x!, { weight: weight!, bias: bias! }, { epsilon });
    const inputs = [fuzz.plain(shape), fuzz.plain(row), fuzz.plain(row)];
    const twin = run(ops.layerNormReference);
    // Rows of a few values that are nearly equal lose digits on both sides.
    return opCase(fuzz, 'layerNorm', inputs, run(ops.layerNorm), twin, { nmse: 1e-9, abs: 1e-4 });
  });
}

function linear(fuzz: Fuzz): FuzzCase[] {
  const drawn = Array.from({ length: rounds }, () => lengths(fuzz, fuzz.integer(2, 4), 33));
  return [[63, 65, 127], [2, 150, 70, 300], [600, 33, 90], ...drawn].map((all) => {
    const [shape, [out = 1]] = [all.slice(0, -1), all.slice(-1)];
    const options = fuzz.pick([{}, { activation: 'gelu' as const }]);
    const run =
      (f: typeof ops.linear) =>
      (...[x, weight, bias]: tf.Tensor[]): tf.Tensor =>
        f(x!, weight!, bias ?? null, options);
    const bias = fuzz.integer(0, 1) === 1 ? [fuzz.plain([out])] : [];
    const inputs = [fuzz.plain(shape), fuzz.plain([out, shape.at(-1)!]), ...bias];
    return opCase(fuzz, 'linear', inputs, run(ops.linear), run(ops.linearReference));
  });
}

function gelu(fuzz: Fuzz): FuzzCase[] {
  return [[], [0], [40_000], ...Array.from({ length: rounds }, () => fuzz.shape())].map((shape) => {
    const x = fuzz.plain(shape);
    const wide: Data = { ...x, values: Float32Array.from(x.values, (value) => 6 * value) };
    return opCase(fuzz, 'gelu', [wide], ops.gelu, ops.geluReference, tight);
  });
}

function infoNce(fuzz: Fuzz): FuzzCase[] {
  const drawn = Array.from({ length: rounds }, () => lengths(fuzz, 2, 20));
  return [[23, 70], [1, 5], ...drawn].map((shape) => {
    const options = { temperature: fuzz.pick([0.1, 1]) };
    const inputs = [fuzz.plain(shape), fuzz.plain(shape)];
    const [op, twin] = [ops.infoNce, ops.infoNceReference].map(
      (f) =>
        (...[queries, keys]: tf.Tensor[]): tf.Tensor =>
          f(queries!, keys!, options),
    );
    return opCase(fuzz, 'infoNce', inputs, op!, twin);
  });
}

function maskedPatchLoss(fuzz: Fuzz): FuzzCase[] {
  const drawn = Array.from({ length: rounds }, () => [...lengths(fuzz, 2), fuzz.integer(2, 20)]);
  return [[2, 3, 9001], ...drawn].map(([batch = 1, tokens = 1, values = 1]) => {
    const count = fuzz.integer(1, tokens);
    const indices = masks(fuzz, batch, tokens, count);
    const patches = fuzz.plain([batch, tokens, values]);
    const options = { normalizeTargets: fuzz.pick([true, false]) };
    const [op, twin] = [ops.maskedPatchLoss, ops.maskedPatchLossReference].map(
      (f) =>
        (...[prediction]: tf.Tensor[]): tf.Tensor =>
          f(prediction!, upload(patches), upload(indices), options),
    );
    return opCase(fuzz, 'maskedPatchLoss', [fuzz.plain([batch, count, values])], op!, twin);
  });
}

function adamw(fuzz: Fuzz): FuzzCase[] {
  const states = [
    [[40_001], [], [0, 3]],
    ...Array.from({ length: 4 }, () => [fuzz.shape(), fuzz.shape(2)]),
  ];
  return states.map((shapes, i) => {
    const data = shapes.map((shape) => Array.from({ length: 4 }, () => fuzz.plain(shape)));
    const record = (part: number): Record<string, tf.Tensor> =>
      Object.fromEntries(data.map((parts, j) => [`p${j}`, upload(parts[part]!)]));
    const options: ops.AdamwOptions = {
      learningRate: 0.1,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.05,
      step: i + 1,
      // Not finite: nothing is updated.
      gradientScale: i === 2 ? Infinity : 0.3,
      perParameter: { p1: { learningRateScale: 0.5, weightDecay: 0 } },
    };
    const run = (f: typeof ops.adamwUpdate) => (): tf.Tensor[] => {
      const [parameters, gradients, firstMoments] = [record(0), record(1), record(2)];
      const secondMoments = Object.fromEntries(
        Object.entries(record(3)).map(([name, x]) => [name, tf.abs(x)]),
      );
      const after = f({ parameters, gradients, firstMoments, secondMoments }, options);
      return [after.parameters, after.firstMoments, after.secondMoments].flatMap(Object.values);
    };
    const [title, bound] = [`adamwUpdate of ${JSON.stringify(shapes)}`, { abs: 1e-6, ulp: 8 }];
    return { title, run: run(ops.adamwUpdate), reference: run(ops.adamwUpdateReference), bound };
  });
}

function globalNorm(fuzz: Fuzz): FuzzCase[] {
  const sets = [
    [[300_001]],
    [],
    ...Array.from({ length: rounds }, () => [fuzz.shape(), fuzz.shape()]),
  ];
  return sets.map((shapes) => {
    const data = shapes.map((shape) => fuzz.plain(shape));
    const [run, reference] = [ops.globalNorm, ops.globalNormReference].map(
      (f) => (): tf.Tensor[] => [f(Object.fromEntries(data.map((x, i) => [`x${i}`, upload(x)])))],
    );
    const title = `globalNorm of ${JSON.stringify(shapes)}`;
    // The reference adds up in float32.
    return { title, run: run!, reference: reference!, bound: { ulp: 64 } };
  });
}

export const opCases: Readonly<Record<string, Draw>> = {
  DmAdamwUpdate: adamw,
  *DmDiffuse(fuzz) {
    for (let i = 0; i < rounds; i++) {
      const [batch, tokens, values] = tokenSizes(fuzz);
      const count = fuzz.integer(1, tokens);
      const indices = masks(fuzz, batch, tokens, count);
      const [signal, scale] = [fuzz.plain([batch]), fuzz.plain([batch])];
      const seeds = Array.from({ length: batch }, () => ops.makeKey(fuzz.integer(0, 1e6)));
      const noise = fuzz.plain([batch, count, values]);
      const keyed = fuzz.integer(0, 1) === 1;
      const [op, twin] = [ops.diffuse, ops.diffuseReference].map(
        (f) =>
          (...[patches]: tf.Tensor[]): tf.Tensor => {
            const keys = tf.tensor2d(ops.keysTensorData(seeds), [batch, 4], 'int32');
            const from = keyed ? { keys } : { values: upload(noise) };
            return f(patches!, upload(indices), upload(signal), upload(scale), from);
          },
      );
      yield opCase(fuzz, 'diffuse', [fuzz.plain([batch, tokens, values])], op!, twin, tight);
    }
  },
  *DmDropPath(fuzz) {
    const shapes = Array.from({ length: rounds }, () => [fuzz.integer(1, 5), ...fuzz.shape(3)]);
    for (const shape of [[2, 20_000], [1], ...shapes]) {
      const factor = fuzz.plain([shape[0]!]);
      const [op, twin] = [ops.dropPath, ops.dropPathReference].map(
        (f) =>
          (...[x]: tf.Tensor[]): tf.Tensor =>
            f(x!, upload(factor)),
      );
      yield opCase(fuzz, 'dropPath', [fuzz.plain(shape)], op!, twin, tight);
    }
  },
  *DmGatherTokens(fuzz) {
    const drawn = Array.from({ length: rounds }, () => tokenSizes(fuzz));
    for (const [batch, tokens, width] of [[2, 70, 500] as const, ...drawn]) {
      const indices = fuzz.indices([batch, fuzz.integer(1, 40)], tokens);
      const [op, twin] = [ops.gatherTokens, ops.gatherTokensReference].map(
        (f) =>
          (...[x]: tf.Tensor[]): tf.Tensor =>
            f(x!, upload(indices)),
      );
      yield opCase(fuzz, 'gatherTokens', [fuzz.plain([batch, tokens, width])], op!, twin, tight);
    }
  },
  DmGelu: gelu,
  DmGeluGrad: gelu,
  DmGlobalNorm: globalNorm,
  DmInfoNce: infoNce,
  DmInfoNceGrad: infoNce,
  DmLayerNorm: layerNorm,
  DmLayerNormGrad: layerNorm,
  DmLinear: linear,
  DmLinearGrad: linear,
  DmMaskedPatchLoss: maskedPatchLoss,
  DmMaskedPatchLossGrad: maskedPatchLoss,
  *DmScatterTokens(fuzz) {
    const drawn = Array.from({ length: rounds }, () => tokenSizes(fuzz));
    for (const [batch, tokens, width] of [[2, 70, 500] as const, ...drawn]) {
      const indices = fuzz.indices([batch, fuzz.integer(1, 40)], tokens);
      const [op, twin] = [ops.scatterTokens, ops.scatterTokensReference].map(
        (f) =>
          (...[x]: tf.Tensor[]): tf.Tensor =>
            f(x!, upload(indices), tokens),
      );
      const x = fuzz.plain([batch, indices.shape[1]!, width]);
      yield opCase(fuzz, 'scatterTokens', [x], op!, twin, tight);
    }
  },
};
