// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { attention, attentionBranch, linear, mlpBranch } from './index.ts';
import { absent, defineGradient, defineKernel, isAbsent, output, runKernel } from './kernel.ts';

describe.each(devices)('on $name', (device) => {
  beforeAll(device.use);

  it('registers a composed kernel for the backend on first use, and runs a kernel that is there', () => {
    const kernel = defineKernel<{ x: tf.Tensor }, object>({
      name: 'DmTestDouble',
      composed: ({ x }) => [tf.mul(x, 2)],
    });
    expect(tf.getKernel('DmTestDouble', device.name)).toBeUndefined();
    const x = tf.tensor1d([1, 2]);
    const [y] = runKernel(kernel, { x }, {});
    expect(y?.dataSync()).toEqual(Float32Array.of(2, 4));
    expect(tf.getKernel('DmTestDouble', device.name)).toBeDefined();

    tf.unregisterKernel('DmTestDouble', device.name);
    const kernelFunc: tf.KernelFunc = () => tf.scalar(7); // one output, not an array
    tf.registerKernel({ kernelName: 'DmTestDouble', backendName: device.name, kernelFunc });
    const [own] = runKernel(kernel, { x }, {});
    expect(own?.dataSync()).toEqual(Float32Array.of(7));
    tf.unregisterKernel('DmTestDouble', device.name);
    tf.dispose([x, y ?? [], own ?? []]);
  });

  it('saves only what is named, and differentiates through inputs that may be missing', () => {
    const gradients: string[][] = [];
    const kernel = defineKernel<{ a: tf.Tensor; b: tf.Tensor | undefined }, { power: number }>({
      name: 'DmTestAxpb',
      composed: ({ a, b }, { power }) => {
        const y = tf.pow(a, power);
        return [b === undefined ? y : tf.add(y, b), tf.mul(a, power)];
      },
    });
    defineGradient(kernel, {
      inputs: [],
      outputs: ['', 'slope'],
      gradient: (dy, saved) => {
        gradients.push(Object.keys(saved));
        return { a: tf.mul(dy, saved.slope), b: tf.clone(dy) };
      },
    });
    const [a, b] = [tf.scalar(3), tf.scalar(4)];
    expectNoLeak(() => {
      const both = tf.tidy(() =>
        tf
          .grads((a: tf.Tensor, b: tf.Tensor) => output(runKernel(kernel, { a, b }, { power: 2 })))(
            [a, b],
          )
          .map((gradient) => gradient.dataSync()[0]),
      );
      const one = tf.tidy(() =>
        tf
          .grad((a: tf.Tensor) => output(runKernel(kernel, { a, b: undefined }, { power: 2 })))(a)
          .dataSync(),
      );
      expect([both, [...one]]).toEqual([[6, 1], [6]]);
    });
    expect(gradients).toEqual([['slope'], ['slope']]);
    tf.dispose([a, b]);
  });

  it('refuses bfloat16 where the backend has no kernels of its own', () => {
    const x = tf.ones([1, 2, 4]);
    const weight = tf.ones([4, 4]);
    const bias = tf.ones([4]);
    const part = { weight, bias };
    const norm = { weight: bias, bias };
    const qkv = { weight: tf.ones([12, 4]), bias: tf.ones([12]) };
    const precision = 'bfloat16';
    const refusals: readonly [string, () => tf.Tensor][] = [
      ['linear', () => linear(x, weight, bias, { precision })],
      ['attention', () => attention(x, x, x, { heads: 2, precision })],
      [
        'attentionBranch',
        () => attentionBranch(x, { norm, qkv, proj: part }, { kind: 'self', heads: 2, precision }),
      ],
      ['mlpBranch', () => mlpBranch(x, { norm, fc1: part, fc2: part }, { precision })],
    ];
    for (const [name, run] of refusals) {
      expectNoLeak(() => {
        expect(run).toThrow(
          `${name}: expected a backend with bfloat16 kernels for precision 'bfloat16', ` +
            `got '${device.name}'. Try: precision 'float32', or the backend 'diffmavil-cpu' or ` +
            `'diffmavil-cuda' of @diffmavil/native.`,
        );
      });
    }
    tf.dispose([x, weight, bias, qkv]);
  });

  it('marks what is absent by a tensor of no elements', () => {
    const none = absent();
    expect(isAbsent(none)).toBe(true);
    expect(isAbsent({ shape: [1] })).toBe(false);
    expect(isAbsent({ shape: [] })).toBe(false);
    expect(isAbsent({ shape: [0, 3] })).toBe(false);
    none.dispose();
  });
});
