// SPDX-License-Identifier: Apache-2.0
// Every op against PyTorch 2.13 in float64 (conformance/golden/ops.py): values and gradients, on
// every device.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose, readFixture, type Fixture } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { valueAndGrads } from '../autodiff.ts';
import * as ops from './index.ts';

type Inputs = Readonly<Record<string, tf.Tensor>>;
type Op = (inputs: Inputs) => tf.Tensor;

const get = (x: Inputs, name: string): tf.Tensor => {
  const tensor = x[name];
  if (tensor === undefined) throw new Error(`expected an input ${name}`);
  return tensor;
};

const pair = (x: Inputs, name: string): ops.LinearParameters => ({
  weight: get(x, `${name}Weight`),
  bias: get(x, `${name}Bias`),
});

const windows: Readonly<Record<string, ops.WindowOptions>> = {
  window8x8: { grid: [8, 8], size: [4, 4], shift: [2, 2] },
  // Its rows are no longer than the window: only the columns are shifted.
  window4x8: { grid: [4, 8], size: [4, 4], shift: [2, 2] },
  window6x4: { grid: [6, 4], size: [3, 2], shift: [1, 0] },
};

const attend =
  (window?: ops.WindowOptions): Op =>
  (x) =>
    ops.attention(get(x, 'query'), get(x, 'key'), get(x, 'value'), {
      heads: 3,
      ...(window === undefined ? {} : { window, relBias: get(x, 'relBias') }),
    });

const selfParameters = (x: Inputs): ops.SelfAttentionParameters => ({
  norm: pair(x, 'norm'),
  qkv: pair(x, 'qkv'),
  proj: pair(x, 'proj'),
});

const branches: Readonly<Record<string, Op>> = {
  self: (x) => ops.attentionBranch(get(x, 'x'), selfParameters(x), { kind: 'self', heads: 3 }),
  cross: (x) =>
    ops.attentionBranch(
      get(x, 'x'),
      { norm: pair(x, 'norm'), q: pair(x, 'q'), kv: pair(x, 'kv'), proj: pair(x, 'proj') },
      { kind: 'cross', heads: 3, context: get(x, 'context') },
    ),
};

const windowBranches = Object.entries(windows).map(([name, window]): [string, Op] => [
  name,
  (x) =>
    ops.attentionBranch(
      get(x, 'x'),
      { ...selfParameters(x), relBias: get(x, 'relBias') },
      { kind: 'window', heads: 3, ...window },
    ),
]);

const norm = (x: Inputs, epsilon: number): tf.Tensor =>
  ops.layerNorm(get(x, 'x'), { weight: get(x, 'weight'), bias: get(x, 'bias') }, { epsilon });

const loss = (x: Inputs, normalizeTargets: boolean): tf.Tensor =>
  ops.maskedPatchLoss(get(x, 'prediction'), get(x, 'patches'), get(x, 'indices'), {
    normalizeTargets,
  });

const noised = (x: Inputs): ops.DiffusedPatches => ({
  patches: get(x, 'patches'),
  indices: get(x, 'indices'),
  signal: get(x, 'signal'),
  noiseScale: get(x, 'noiseScale'),
  noise: { values: get(x, 'noise') },
});

/** By fixture and case. */
const golden: Readonly<Record<string, Readonly<Record<string, Op>>>> = {
  linear: {
    plain: (x) => ops.linear(get(x, 'x'), get(x, 'weight'), get(x, 'bias')),
    unbiased: (x) => ops.linear(get(x, 'x'), get(x, 'weight'), null),
    gelu: (x) => ops.linear(get(x, 'x'), get(x, 'weight'), get(x, 'bias'), { activation: 'gelu' }),
  },
  'layer-norm': { 'epsilon1e-6': (x) => norm(x, 1e-6), 'epsilon0.5': (x) => norm(x, 0.5) },
  gelu: { range: (x) => ops.gelu(get(x, 'x')) },
  attention: {
    self: attend(),
    cross: attend(),
    ...Object.fromEntries(Object.entries(windows).map(([name, w]) => [name, attend(w)])),
  },
  'attention-branch': { ...branches, ...Object.fromEntries(windowBranches) },
  'mlp-branch': {
    plain: (x) =>
      ops.mlpBranch(get(x, 'x'), {
        norm: pair(x, 'norm'),
        fc1: pair(x, 'fc1'),
        fc2: pair(x, 'fc2'),
      }),
  },
  'gather-tokens': {
    gather: (x) => ops.gatherTokens(get(x, 'x'), get(x, 'indices')),
    scatter: (x) => ops.scatterTokens(get(x, 'x'), get(x, 'indices'), 7),
  },
  diffuse: {
    values: (x) =>
      ops.diffuse(get(x, 'patches'), get(x, 'indices'), get(x, 'signal'), get(x, 'noiseScale'), {
        values: get(x, 'noise'),
      }),
  },
  'diffused-linear': {
    values: (x) =>
      ops.diffusedLinear(noised(x), { weight: get(x, 'weight'), bias: get(x, 'bias') }),
  },
  'masked-patch-loss': { raw: (x) => loss(x, false), normalized: (x) => loss(x, true) },
  'info-nce': {
    inter: (x) => ops.infoNce(get(x, 'queries'), get(x, 'keys'), { temperature: 0.1 }),
    intra: (x) => ops.infoNce(get(x, 'queries'), get(x, 'keys'), { temperature: 1 }),
  },
};

const cases = Object.entries(golden).flatMap(([file, ops]) =>
  Object.entries(ops).map(([name, op]) => ({ file, name, op })),
);

/** Entries of a fixture under a prefix, as tensors by the rest of their names. */
function tensorsUnder(fixture: Fixture, prefix: string): Record<string, tf.Tensor> {
  const names = fixture.names.filter((name) => name.startsWith(prefix));
  return Object.fromEntries(names.map((name) => [name.slice(prefix.length), fixture.tensor(name)]));
}

describe.each(devices)('on $name', (device) => {
  beforeAll(device.use);

  it.each(cases)('$file, $name: equals PyTorch, value and gradients', ({ file, name, op }) => {
    const fixture = readFixture(`ops/${file}.safetensors`);
    tf.tidy(() => {
      const inputs = tensorsUnder(fixture, `${name}.in.`);
      const expected = tensorsUnder(fixture, `${name}.grad.`);
      const leaves = Object.keys(expected).map((key): [string, tf.Tensor] => [
        key,
        get(inputs, key),
      ]);
      const dy = fixture.tensor(`${name}.dy`);
      const { outputs, grads } = valueAndGrads(() => {
        const y = op(inputs);
        return { loss: tf.sum<tf.Scalar>(tf.mul(y, dy)), y };
      }, Object.fromEntries(leaves));
      // Of order 1 to 15. But rows of mean 1 and deviation 0.001 lose three digits with their mean,
      // and their gradients go up to 1700: PyTorch's own float32 is up to 0.025 (nmse 2e-10) off
      // its float64 there.
      const ofNorm = { nmse: 2e-10, maxAbs: 0.025 };
      const tolerance = file === 'layer-norm' ? ofNorm : { nmse: 1e-12, maxAbs: 3e-5 };
      expectClose(outputs.y, fixture.get(`${name}.y`).data, tolerance);
      expect(leaves.length).toBeGreaterThan(0);
      for (const [key, gradient] of Object.entries(grads)) {
        expectClose(gradient, fixture.get(`${name}.grad.${key}`).data, tolerance);
      }
    });
  });

  it('adamwUpdate and globalNorm: three steps equal torch.optim.AdamW', () => {
    const fixture = readFixture('ops/adamw-update.safetensors');
    const parameters = tensorsUnder(fixture, 'step0.parameter.');
    const zeros = (): Record<string, tf.Tensor> =>
      Object.fromEntries(Object.entries(parameters).map(([key, x]) => [key, tf.zerosLike(x)]));
    let state = { parameters, firstMoments: zeros(), secondMoments: zeros() };
    for (const step of [1, 2, 3]) {
      const gradients = tensorsUnder(fixture, `step${step}.gradient.`);
      const norm = ops.globalNorm(gradients);
      expectClose(norm, fixture.get(`step${step}.norm`).data, { maxRel: 1e-6 });
      const gradientScale = step === 2 ? tf.reciprocal(norm) : 1;
      state = ops.adamwUpdate(
        { ...state, gradients },
        {
          learningRate: 0.02,
          beta1: 0.9,
          beta2: 0.95,
          epsilon: 1e-8,
          weightDecay: 0.3,
          step,
          gradientScale,
          perParameter: {
            'blocks.0.weight': { learningRateScale: 0.75 },
            'blocks.0.bias': { learningRateScale: 0.75, weightDecay: 0 },
          },
        },
      );
      tf.dispose([gradients, norm, gradientScale === 1 ? [] : gradientScale]);
      const parts = [state.parameters, state.firstMoments, state.secondMoments];
      for (const [i, part] of ['parameter', 'first', 'second'].entries()) {
        for (const [key, x] of Object.entries(parts[i] ?? {})) {
          const { data } = fixture.get(`step${step}.${part}.${key}`);
          expectClose(x, data, { nmse: 1e-12, maxAbs: 1e-6 });
        }
      }
    }
    expect(Object.keys(state.parameters)).toHaveLength(3);
    tf.dispose(state);
  });
});
