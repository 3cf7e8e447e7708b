// SPDX-License-Identifier: Apache-2.0
// Three steps against torch.optim.AdamW: golden.test.ts. Here: against the twin, what is disposed,
// errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { fold, makeKey, normals } from '../random.ts';
import { disposeTree } from '../trees.ts';
import {
  adamwRates,
  adamwUpdate,
  adamwUpdateReference,
  type AdamwOptions,
} from './adamw-update.ts';

const shapes = { scalar: [], row: [5], matrix: [3, 4], tail: [1, 1] } as const;
type Record4 = Record<string, tf.Tensor>;

function draw(part: string, positive = false): Record4 {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = shape.reduce<number>((product, n) => product * n, 1);
      const values = normals(fold(makeKey(3), part, name), size);
      return [name, tf.tensor(positive ? values.map(Math.abs) : values, [...shape])];
    }),
  );
}

const numbers = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
  step: 4,
};
const options: AdamwOptions = numbers;

describe.each(devices)('adamwUpdate on $name', (device) => {
  beforeAll(device.use);

  const state = (): Record<
    'parameters' | 'gradients' | 'firstMoments' | 'secondMoments',
    Record4
  > => ({
    parameters: draw('parameter'),
    gradients: draw('gradient'),
    firstMoments: draw('first'),
    secondMoments: draw('second', true),
  });

  it.each([
    { name: 'one group', more: {} },
    {
      name: 'a group for each',
      more: {
        gradientScale: 0.3,
        perParameter: { row: { learningRateScale: 0.5 }, tail: { weightDecay: 0 } },
      },
    },
  ])('equals its twin, $name', ({ more }) => {
    const before = state();
    const expected = adamwUpdateReference(before, { ...options, ...more });
    const actual = adamwUpdate(before, { ...options, ...more });
    for (const part of ['parameters', 'firstMoments', 'secondMoments'] as const) {
      expect(Object.keys(actual[part])).toEqual(Object.keys(shapes));
      for (const name of Object.keys(shapes)) {
        // Of order 1.
        expectClose(actual[part][name]!, expected[part][name]!, { maxAbs: 1e-6 });
      }
    }
    disposeTree([before.gradients, expected, actual]);
  });

  it('takes the rates as a tensor, with the same bits', () => {
    const { learningRate, step, ...constants } = numbers;
    const [one, two] = [state(), state()];
    const rates = tf.tensor1d(adamwRates({ learningRate, step }, constants));
    const expected = adamwUpdate(one, numbers);
    const actual = adamwUpdate(two, { ...constants, rates });
    for (const name of Object.keys(shapes)) {
      expectClose(actual.parameters[name]!, expected.parameters[name]!, { maxAbs: 0 });
    }
    disposeTree([one.gradients, two.gradients, expected, actual, rates]);
  });

  it('takes 1 - learningRate * weightDecay times the parameter where the gradient is 0', () => {
    const zeros = (): Record4 => ({ x: tf.zeros([2]) });
    const { parameters, ...moments } = adamwUpdate(
      {
        parameters: { x: tf.ones([2]) },
        gradients: zeros(),
        firstMoments: zeros(),
        secondMoments: zeros(),
      },
      { ...options, step: 1 },
    );
    expectClose(parameters['x']!, [0.995, 0.995], { maxAbs: 1e-7 });
    expect(Object.keys(moments)).toEqual(['firstMoments', 'secondMoments']);
  });

  it('disposes what it replaces and nothing else', () => {
    const before = state();
    const { numTensors } = tf.memory();
    const after = adamwUpdate(before, options);
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(Object.values(before.gradients).some((x) => x.isDisposed)).toBe(false);
    for (const part of [before.parameters, before.firstMoments, before.secondMoments]) {
      expect(Object.values(part).every((x) => x.isDisposed)).toBe(true);
    }
    disposeTree([before, after]);
  });

  it('takes no parameters', () => {
    const none = { parameters: {}, gradients: {}, firstMoments: {}, secondMoments: {} };
    expectNoLeak(() => {
      expect(adamwUpdate(none, options).parameters).toEqual({});
    });
  });

  it('names what is wrong, and disposes nothing then', () => {
    const before = state();
    const { row, ...short } = before.gradients;
    expectNoLeak(() => {
      expect(() => adamwUpdate({ ...before, gradients: short }, options)).toThrow(
        'adamwUpdate: gradients of row: expected [5], got nothing',
      );
      const firstMoments = { ...before.firstMoments, matrix: before.firstMoments['row']! };
      expect(() => adamwUpdate({ ...before, firstMoments }, options)).toThrow(
        'adamwUpdate: firstMoments of matrix: expected [3, 4], got [5]',
      );
      const secondMoments = { ...before.secondMoments, row: before.secondMoments['scalar']! };
      expect(() => adamwUpdate({ ...before, secondMoments }, options)).toThrow(
        'adamwUpdate: secondMoments of row: expected [5], got []',
      );
      expect(() => adamwUpdate(before, { ...options, step: 0 })).toThrow(
        'adamwUpdate: expected a step counted from 1, got 0',
      );
      const rates = tf.tensor1d([1, 2]);
      expect(() => adamwUpdate(before, { ...options, rates })).toThrow(
        'adamwUpdate: rates: expected [3], got [2]',
      );
      rates.dispose();
    });
    disposeTree([before, row]);
  });
});
