// SPDX-License-Identifier: Apache-2.0
import { adamwUpdate, adamwUpdateReference, fold, makeKey, normals } from '@diffmavil/core';
import type { AdamwOptions, AdamwResult, AdamwState } from '@diffmavil/core';
import { expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import type { NativeBackend } from '../backend.ts';
import { resetDelegatedKernels, delegatedKernels } from '../delegate.ts';
import { loadAddon } from '../loader.ts';
import { backendName } from '../register.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

const shapes = { scalar: [], row: [5], matrix: [30, 40], none: [0, 3], long: [40_001] } as const;
const parts = ['parameters', 'firstMoments', 'secondMoments'] as const;

const options: AdamwOptions = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
  step: 4,
  gradientScale: 0.3,
  perParameter: { row: { learningRateScale: 0.5 }, matrix: { weightDecay: 0 } },
};

function draw(part: string, positive = false): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = shape.reduce<number>((product, n) => product * n, 1);
      const values = normals(fold(makeKey(3), part, name), size);
      return [name, tf.tensor(positive ? values.map(Math.abs) : values, [...shape])];
    }),
  );
}

const state = (): AdamwState => ({
  parameters: draw('parameter'),
  gradients: draw('gradient'),
  firstMoments: draw('first'),
  secondMoments: draw('second', true),
});

/** The values of a result, which is disposed. */
function values(result: AdamwResult): Record<string, Float32Array> {
  const read = parts.flatMap((part) =>
    Object.entries(result[part]).map(([name, x]) => [
      `${part} ${name}`,
      x.dataSync() as Float32Array,
    ]),
  );
  for (const part of parts) tf.dispose(result[part]);
  return Object.fromEntries(read) as Record<string, Float32Array>;
}

function update(): Record<string, Float32Array> {
  const before = state();
  const after = values(adamwUpdate(before, options));
  tf.dispose(before.gradients);
  return after;
}

const inUse = (): number => loadAddon().memory().inUse;

describe.skipIf(noAddon)(`adamwUpdate${skipNote}`, () => {
  beforeEach(useNative);

  it('equals its twin on tfjs, in one native call, whatever the threads', async () => {
    await tf.setBackend('cpu');
    const expected = expectNoLeak(() => {
      const before = state();
      const after = values(adamwUpdateReference(before, options));
      tf.dispose(Object.values(before));
      return after;
    });
    await tf.setBackend(backendName);
    resetDelegatedKernels();
    const results = [1, 4].map((threads) => {
      loadAddon().setThreads(threads);
      return expectNoLeak(update);
    });
    expect(delegatedKernels()).toEqual({});
    expect(results[1]).toEqual(results[0]);
    // Of order 1.
    for (const [name, right] of Object.entries(expected)) {
      expectClose(results[0]![name]!, right, right.length === 0 ? { maxAbs: 0 } : { maxAbs: 1e-6 });
    }
  });

  it('works in place where nobody else holds a tensor', () => {
    const before = state();
    const buffer = (x: tf.Tensor): unknown => (tf.backend() as NativeBackend).buffer(x);
    const given = parts.map((part) => buffer(before[part]['long']!));
    const bytes = inUse();
    const after = adamwUpdate(before, options);
    expect(
      parts.map((part) => buffer(after[part]['long']!) === given[parts.indexOf(part)]),
    ).toEqual([true, true, true]);
    // Only the small tensors, which tfjs wrote, were made anew.
    expect(inUse()).toBeLessThan(bytes + 4096);
    tf.dispose([before.gradients, ...parts.map((part) => after[part])]);
  });

  it('leaves a parameter alone that a clone still holds', () => {
    const before = state();
    const clone = tf.clone(before.parameters['long']!);
    const old = clone.dataSync().slice();
    const after = adamwUpdate(before, options);
    expect(clone.dataSync()).toEqual(old);
    expect(after.parameters['long']!.dataSync()).not.toEqual(old);
    tf.dispose([clone, before.gradients, ...parts.map((part) => after[part])]);
  });

  it('changes nothing where the scale of the gradients is not finite, in place or not', () => {
    for (const scale of [Number.NaN, Infinity]) {
      const before = state();
      const clone = tf.clone(before.parameters['matrix']!);
      const old = parts.map((part) => before[part]['long']!.dataSync().slice());
      const gradientScale = tf.scalar(scale);
      const after = adamwUpdate(before, { ...options, gradientScale });
      expect(parts.map((part) => after[part]['long']!.dataSync())).toEqual(old);
      expect(after.parameters['matrix']!.dataSync()).toEqual(clone.dataSync());
      tf.dispose([clone, gradientScale, before.gradients, ...parts.map((part) => after[part])]);
    }
  });

  it('updates a tensor with two names twice from its old values', () => {
    const shared = tf.tensor1d(new Float32Array(100).fill(0.5));
    const record = (x: () => tf.Tensor): Record<string, tf.Tensor> => ({ a: x(), b: x() });
    const before: AdamwState = {
      parameters: record(() => shared),
      gradients: record(() => tf.ones([100])),
      firstMoments: record(() => tf.zeros([100])),
      secondMoments: record(() => tf.zeros([100])),
    };
    const { parameters, ...moments } = adamwUpdate(before, { ...options, step: 1 });
    expect(parameters['a']!.dataSync()).toEqual(parameters['b']!.dataSync());
    // 0.5 (1 - 0.1 * 0.05) - 0.1.
    expectClose(parameters['a']!, new Float32Array(100).fill(0.3975), { maxAbs: 1e-6 });
    tf.dispose([before.gradients, parameters, ...Object.values(moments)]);
  });
});
