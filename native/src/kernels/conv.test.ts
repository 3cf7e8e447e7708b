// SPDX-License-Identifier: Apache-2.0
import { expectClose, expectNoLeak, finiteDifference } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { draw } from '../test-ops.ts';

type F = (x: tf.Tensor, filter: tf.Tensor) => tf.Tensor;

const functions: [string, number[], number[], F][] = [
  ['conv2d', [2, 6, 5, 3], [3, 2, 3, 4], (x, w) => tf.conv2d(four(x), four(w), [2, 1], 'same')],
  [
    'conv2d of channels first',
    [2, 3, 6, 5],
    [3, 2, 3, 4],
    (x, w) => tf.conv2d(four(x), four(w), 2, 1, 'NCHW'),
  ],
  [
    'conv2d with margins of its own',
    [1, 5, 6, 2],
    [3, 3, 2, 3],
    (x, w) => tf.conv2d(four(x), four(w), 1, [[0, 0], [2, 0], [1, 3], [0, 0]]), // prettier-ignore
  ],
  ['conv2d of one tap', [2, 4, 3, 5], [1, 1, 5, 6], (x, w) => tf.conv2d(four(x), four(w), 1, 0)],
  [
    'conv2dTranspose',
    [2, 3, 4, 4],
    [3, 3, 2, 4],
    (x, w) => tf.conv2dTranspose(four(x), four(w), [2, 6, 8, 2], 2, 'same'),
  ],
  [
    'conv3d',
    [2, 4, 5, 4, 2],
    [2, 3, 2, 2, 3],
    (x, w) => tf.conv3d(x as tf.Tensor5D, w as tf.Tensor5D, [2, 1, 2], 'same'),
  ],
  [
    'depthwiseConv2d',
    [2, 6, 5, 3],
    [3, 2, 3, 2],
    (x, w) => tf.depthwiseConv2d(four(x), four(w), 2, 'same'),
  ],
  [
    'depthwiseConv2d of one filter a channel',
    [1, 9, 70, 4],
    [2, 3, 4, 1],
    (x, w) => tf.depthwiseConv2d(four(x), four(w), 1, 'same'),
  ],
  [
    'fused conv2d',
    [2, 5, 5, 3],
    [3, 3, 3, 4],
    (x, w) =>
      tf.fused.conv2d({
        x: four(x),
        filter: four(w),
        strides: 1,
        pad: 'same',
        bias: tf.tensor1d([0.1, -0.2, 0.3, 0.4]),
        activation: 'sigmoid',
      }),
  ],
];

const four = (x: tf.Tensor): tf.Tensor4D => x as tf.Tensor4D;

describe.skipIf(noAddon)(`convolutions${skipNote}`, () => {
  beforeEach(useNative);

  it.each(functions)('%s has the value and the gradients of tfjs', async (_, ...shapesAndF) => {
    const [shape, filterShape, f] = shapesAndF;
    const make = (): [tf.Tensor, tf.Tensor] => [draw(shape, 'x'), draw(filterShape, 'filter')];
    const tolerance = { nmse: 1e-10, maxAbs: 1e-5 };
    await expectSameAsCpu(() => f(...make()), tolerance);
    for (const i of [0, 1] as const) {
      await expectSameAsCpu(() => {
        const x = make();
        const dy = draw(f(...x).shape, 'dy');
        return tf.grads(f)(x, dy)[i]!;
      }, tolerance);
    }
  });

  it.each(functions)('%s has the gradients of finite differences', (_, shape, filterShape, f) => {
    const x: [tf.Tensor, tf.Tensor] = [draw(shape, 'x'), draw(filterShape, 'filter')];
    const dy = tf.tidy(() => draw(f(...x).shape, 'dy'));
    const got = expectNoLeakOf(2, () => tf.grads(f)(x, dy));
    const expected = finiteDifference(f, x, {
      dy: dy.dataSync(),
    });
    for (const [i, gradient] of got.entries()) {
      expectClose(gradient, expected[i]!, { maxAbs: 2e-3, nmse: 1e-6 });
    }
    tf.dispose([x, dy, got]);
  });

  it('computes the numbers of a convolution that can be done in the head', () => {
    const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
    const filter = tf.tensor4d([1, 10, 100, 1000], [2, 2, 1, 1]);
    const y = tf.conv2d(x, filter, 1, 'valid');
    expect([...y.dataSync()]).toEqual([5421, 6532, 8754, 9865]);
    tf.dispose([x, filter, y]);
  });

  it('takes depthwise convolutions of channels first', () => {
    const [x, filter] = [draw([2, 6, 5, 3], 'x'), draw([3, 2, 3, 2], 'filter')];
    const [first, last] = tf.tidy(() => [
      tf.depthwiseConv2d(four(tf.transpose(x, [0, 3, 1, 2])), four(filter), 1, 'same', 'NCHW'),
      tf.transpose(tf.depthwiseConv2d(four(x), four(filter), 1, 'same'), [0, 3, 1, 2]),
    ]) as [tf.Tensor, tf.Tensor];
    expect(first.shape).toEqual(last.shape);
    expectClose(first, last, { maxAbs: 0 });
    tf.dispose([x, filter, first, last]);
  });

  it('runs separable convolutions and convolutions of one axis natively', () => {
    resetDelegatedKernels();
    expectNoLeak(() =>
      tf.tidy(() => {
        tf.conv1d(tf.ones<tf.Rank.R3>([2, 9, 3]), tf.ones<tf.Rank.R3>([3, 3, 4]), 2, 'same');
        const [depthwise, pointwise] = [four(tf.ones([3, 3, 2, 2])), four(tf.ones([1, 1, 4, 5]))];
        tf.separableConv2d(four(tf.ones([1, 6, 6, 2])), depthwise, pointwise, 1, 'same');
      }),
    );
    expect(delegatedKernels()).toEqual({});
  });

  it('takes a dy of more windows than x has, and leaves one of fewer to tfjs, as tfjs does', async () => {
    const transpose = (size: number): (() => tf.Tensor) => {
      const out: [number, number, number, number] = [1, 4, 4, 2];
      const make = (): tf.Tensor4D => four(draw([1, size, size, 3], 'dy'));
      return () => tf.conv2dTranspose(make(), four(draw([3, 3, 2, 3], 'w')), out, 1, 'same');
    };
    await expectSameAsCpu(transpose(6));
    resetDelegatedKernels();
    await tf.setBackend('diffmavil-cpu');
    tf.tidy(() => transpose(3)());
    expect(delegatedKernels()).toEqual({ Conv2DBackpropInput: 1 });
  });

  it('refuses a filter of other channels, in the words of tfjs', () => {
    expect(() =>
      tf.conv2d(four(tf.ones([1, 4, 4, 3])), four(tf.ones([2, 2, 2, 4])), 1, 'same'),
    ).toThrow('Error in conv2d: depth of input (3) must match input depth for filter 2.');
  });
});

/** The tensors that `f` makes, of which there are so many. */
function expectNoLeakOf(count: number, f: () => tf.Tensor[]): tf.Tensor[] {
  const before = tf.memory().numTensors;
  const made = f();
  expect(tf.memory().numTensors - before).toBe(count);
  return made;
}
