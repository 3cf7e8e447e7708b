// SPDX-License-Identifier: Apache-2.0
// Against PyTorch 2.13 in float64 (conformance/golden/cosine_window.py), whose attention looks up each query's keys.
import { valueAndGrads } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak, readFixture } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { cosineWindowBlock } from './cosine-window.ts';
import type { CosineWindowOptions, CosineWindowWeights } from './cosine-window.ts';

const golden = readFixture('cosine-window/block.safetensors');
const common = { heads: 2, epsilon: 1e-6, precision: 'float32' } as const;
const cases: Record<string, CosineWindowOptions> = {
  plain: { grid: [8, 4], size: [4, 4], shift: [0, 0], ...common },
  shifted: { grid: [8, 4], size: [4, 4], shift: [2, 2], ...common },
  both: { grid: [4, 8], size: [2, 4], shift: [1, 2], ...common },
};

function weightsOf(x: Readonly<Record<string, tf.Tensor>>): CosineWindowWeights {
  const pair = (name: string): { weight: tf.Tensor; bias: tf.Tensor } => ({
    weight: x[`${name}.weight`]!,
    bias: x[`${name}.bias`]!,
  });
  return {
    norm1: pair('norm1'),
    qkv: pair('attn.qkv'),
    proj: pair('attn.proj'),
    tau: x['attn.tau']!,
    biasFc1: pair('attn.bias_mlp.fc1'),
    biasFc2: pair('attn.bias_mlp.fc2'),
    norm2: pair('norm2'),
    fc1: pair('mlp.fc1'),
    fc2: pair('mlp.fc2'),
  };
}

describe.each(devices)('cosineWindowBlock on $name', (device) => {
  beforeAll(device.use);

  it.each(Object.keys(cases))('agrees with PyTorch, gradients too: %s', (name) => {
    expectNoLeak(() => {
      const tensors = Object.fromEntries(
        golden.names
          .filter((key) => key.startsWith('weight.') || key === `${name}.x`)
          .map((key) => [key.replace(/^.*?\./, ''), golden.tensor(key)]),
      );
      const dy = golden.tensor(`${name}.dy`);
      const { outputs, grads } = valueAndGrads(() => {
        const y = cosineWindowBlock(tensors['x'] as tf.Tensor3D, weightsOf(tensors), cases[name]!);
        return { loss: tf.sum<tf.Scalar>(tf.mul(y, dy)), y };
      }, tensors);
      expectClose(outputs.y, golden.get(`${name}.y`).data, { nmse: 1e-11 });
      for (const [key, gradient] of Object.entries(grads)) {
        // A constant added to all of a head's scores changes nothing, so this one is 0 but for rounding.
        const bound = key === 'attn.bias_mlp.fc2.bias' ? { maxAbs: 1e-4 } : { nmse: 1e-8 };
        expectClose(gradient, golden.get(`${name}.grad.${key}`).data, bound);
      }
      expect(Object.keys(grads)).toHaveLength(18);
      tf.dispose([tensors, dy, outputs, grads]);
    });
  });
});
