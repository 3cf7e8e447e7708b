// SPDX-License-Identifier: Apache-2.0
// Native linear against its twin; with precision 'bfloat16' by the rule of twice the error that
// rounding the operands costs the twin.
import { adamwUpdate, linear, linearReference } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { noAddon, skipNote, useNative } from '../test-native.ts';
import { draw, expectOpLikeTwin } from '../test-ops.ts';

const cases = [
  { shape: [2, 5, 12], outWidth: 7, biased: true },
  { shape: [3], outWidth: 1, biased: false },
  { shape: [63, 65], outWidth: 127, biased: true },
  { shape: [2, 150, 70], outWidth: 300, biased: true },
  { shape: [600, 33], outWidth: 90, biased: false },
];

const named = cases.flatMap((one) =>
  ([undefined, 'gelu'] as const).map((activation) => ({
    ...one,
    activation,
    name: `linear of [${one.shape.join(', ')}] to ${one.outWidth}, ${one.biased ? 'biased' : 'no bias'}, ${activation ?? 'no activation'}`,
  })),
);

describe.skipIf(noAddon)(`linear${skipNote}`, () => {
  beforeEach(useNative);

  it.each(named)('$name: has the value and gradients of its twin', async (one) => {
    const { name, shape, outWidth, biased, activation } = one;
    const options = activation === undefined ? {} : { activation };
    await expectOpLikeTwin({
      name,
      shapes: [shape, [outWidth, shape.at(-1) ?? 1], ...(biased ? [[outWidth]] : [])],
      op: (x, weight, bias) => linear(x, weight, bias ?? null, options),
      twin: (x, weight, bias) => linearReference(x, weight, bias ?? null, options),
      tolerance: { nmse: 1e-10, maxAbs: 1e-4 },
    });
  });

  it.each(['none', 'gelu'] as const)(
    'in bfloat16 errs at most twice as much as rounded operands do, activation %s',
    (activation) => {
      const options = activation === 'gelu' ? { activation } : {};
      const [x, weight, bias] = [draw([130, 200], 'x'), draw([150, 200], 'w'), draw([150], 'b')];
      const dy = draw([130, 150], 'dy');
      const results = (f: typeof linear, precision: 'float32' | 'bfloat16', from: tf.Tensor[]) => {
        const run = (...[a, w, c]: tf.Tensor[]): tf.Tensor =>
          f(a as tf.Tensor, w as tf.Tensor, c as tf.Tensor, { ...options, precision });
        return [run(...from), ...tf.grads(run)(from, from.length > 3 ? from[3] : dy)];
      };
      tf.tidy(() => {
        const operands = [x, weight, bias];
        const exact = results(linearReference, 'float32', operands);
        const got = results(linear, 'bfloat16', operands);
        // The twin on rounded operands, its dy rounded too: what the precision itself costs.
        const rounded = (t: tf.Tensor): tf.Tensor => roundedToBfloat16(t);
        const run = (...[a, w, c]: tf.Tensor[]): tf.Tensor =>
          linearReference(a as tf.Tensor, w as tf.Tensor, c as tf.Tensor, options);
        const from = [rounded(x), rounded(weight), bias];
        const twin = [run(...from), ...tf.grads(run)(from, rounded(dy))];
        for (const [i, tensor] of got.entries()) {
          const error = distance(tensor, exact[i] as tf.Tensor);
          const allowed = distance(twin[i] as tf.Tensor, exact[i] as tf.Tensor);
          // Sums of dy lose nothing without an activation; then float32's own rounding is left.
          expect(error).toBeLessThanOrEqual(2 * allowed + 1e-4);
        }
      });
      tf.dispose([x, weight, bias, dy]);
    },
  );

  it('uses the new weight after an optimizer step on it', () => {
    const x = tf.ones([64, 64]);
    const state = () => ({ w: tf.zeros([64, 64]) });
    const before = tf.zeros([64, 64]);
    tf.dispose(linear(x, before, null)); // packs the zeros
    const { parameters, firstMoments, secondMoments } = adamwUpdate(
      {
        parameters: { w: before },
        gradients: { w: tf.neg(tf.ones([64, 64])) },
        firstMoments: state(),
        secondMoments: state(),
      },
      {
        learningRate: 0.5,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: 0,
        step: 1,
        gradientScale: 1,
      },
    );
    // AdamW's first step is the learning rate against the gradient's sign: 64 * 0.5.
    const y = linear(x, parameters['w'] as tf.Tensor, null);
    expect(y.dataSync()[0]).toBeCloseTo(32, 4);
    tf.dispose([x, y, parameters, firstMoments, secondMoments]);
  });
});

/** Euclidean distance. */
function distance(a: tf.Tensor, b: tf.Tensor): number {
  return Math.sqrt(tf.sum(tf.square(tf.sub(a, b))).dataSync()[0] ?? Number.NaN);
}

/** To the nearest number of 8 significant bits, ties to even. */
function roundedToBfloat16(x: tf.Tensor): tf.Tensor {
  const values = x.dataSync().slice() as Float32Array;
  const bits = new Uint32Array(values.buffer);
  for (const [i, word] of bits.entries()) {
    bits[i] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  }
  return tf.tensor(values, x.shape);
}
