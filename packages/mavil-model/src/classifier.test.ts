// SPDX-License-Identifier: Apache-2.0
import { disposeTree, fold, makeKey, uniforms, valueAndGrads } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { classifierForward } from './classifier.ts';
import { defineModel } from './config.ts';
import { classifierDrops } from './drop-path.ts';
import type { ClassifierDrops } from './drop-path.ts';
import { encode } from './encoder.ts';
import { initializeHead, initializeParameters } from './parameters.ts';
import { presets } from './presets.ts';
import { testInputs } from './test-inputs.ts';

beforeAll(devices[0]!.use);

const config = defineModel({
  ...presets.tiny,
  encoder: { ...presets.tiny.encoder, classToken: true },
});
const keys = [0, 1, 2].map((clip) => fold(makeKey(5), clip));
const dropsOf = (rate: number, of = keys): ClassifierDrops | null =>
  classifierDrops(config, 'audio', rate, of);

function setUp(): {
  parameters: Record<string, tf.Tensor>;
  patches: tf.Tensor;
  dispose: () => void;
} {
  const inputs = testInputs(config, 3, 1);
  const head = Object.entries(initializeHead(config, 'audio', 4, makeKey(2))).map(
    ([name, weight]) => {
      // Heads start near zero; these make logits of order one.
      const drawn = tf.tensor(uniforms(fold(makeKey(3), name), weight.size), weight.shape);
      weight.dispose();
      return [name, drawn] as const;
    },
  );
  const parameters = { ...initializeParameters(config, makeKey(1)), ...Object.fromEntries(head) };
  return {
    parameters,
    patches: inputs.audio!.patches,
    dispose: () => disposeTree([inputs, parameters]),
  };
}

describe('classifierForward', () => {
  it('is the head of the mean over the tokens, class token and final norm left out', () => {
    expectNoLeak(() => {
      const { parameters, patches, dispose } = setUp();
      const logits = classifierForward(config, parameters, 'audio', patches);
      expect(logits.shape).toEqual([3, 4]);
      const expected = tf.tidy(() => {
        const tokens = encode(config, parameters, 'audio', patches, { finalNorm: false });
        expect(tokens.shape).toEqual([3, 65, 24]);
        const mean = tf.mean(tf.slice(tokens, [0, 1, 0]), 1);
        const { mean: centre, variance } = tf.moments(mean, 1, true);
        const unit = tf.div(tf.sub(mean, centre), tf.sqrt(tf.add(variance, 1e-6)));
        const part = (name: string): tf.Tensor => parameters[`audio_head.${name}`]!;
        const normed = tf.add(tf.mul(unit, part('norm.weight')), part('norm.bias'));
        const product = tf.matMul(normed, part('linear.weight'), false, true);
        return tf.add(product, part('linear.bias'));
      });
      expectClose(logits, expected, { nmse: 1e-10 });
      disposeTree([logits, expected]);
      dispose();
    });
  });

  it('encodes only the tokens it is told to', () => {
    const { parameters, patches, dispose } = setUp();
    const order = tf.tensor2d([3, 1, 2, 0, 5, 9, 7, 6, 0], [3, 3], 'int32');
    const some = classifierForward(config, parameters, 'audio', patches, { order, visible: 2 });
    const all = classifierForward(config, parameters, 'audio', patches);
    expect(some.shape).toEqual([3, 4]);
    expect(some.dataSync()).not.toEqual(all.dataSync());
    disposeTree([order, some, all]);
    dispose();
  });

  it('drops paths by key: the same keys, the same logits', () => {
    const { parameters, patches, dispose } = setUp();
    const run = (seed: number): number[] =>
      tf.tidy(() => [
        ...classifierForward(config, parameters, 'audio', patches, {
          drops: dropsOf(
            0.5,
            keys.map((key) => fold(key, seed)),
          ),
        }).dataSync(),
      ]);
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
    dispose();
  });

  it('gives the same gradients with drop path when blocks are recomputed', () => {
    const counts = expectNoLeak(() => {
      const { parameters, patches, dispose } = setUp();
      const run = (
        checkpointing: boolean,
      ): { grads: Record<string, tf.Tensor>; outputs: unknown } =>
        valueAndGrads(() => {
          const options = { drops: dropsOf(0.5), checkpointing };
          const logits = classifierForward(config, parameters, 'audio', patches, options);
          return { loss: tf.sum(tf.square(logits)) };
        }, parameters);
      const [kept, recomputed] = [run(false), run(true)];
      let nonzero = 0;
      for (const [name, gradient] of Object.entries(kept.grads)) {
        expect(recomputed.grads[name]!.dataSync()).toEqual(gradient.dataSync());
        if (gradient.dataSync().some((x) => x !== 0)) nonzero++;
      }
      const unused = ['audio_encoder.norm.weight', 'video_encoder.patch_embed.weight'];
      for (const name of unused) expect(Math.max(...kept.grads[name]!.dataSync())).toBe(0);
      disposeTree([kept, recomputed]);
      dispose();
      return nonzero;
    });
    expect(counts).toBeGreaterThan(20);
  });

  it('drops nothing with factors of one', () => {
    const { parameters, patches, dispose } = setUp();
    const ones = (): tf.Tensor => tf.ones([3]);
    const encoder = [0, 1].map(() => ({ attention: ones(), mlp: ones() }));
    const run = (drops: ClassifierDrops | null): tf.Tensor =>
      classifierForward(config, parameters, 'audio', patches, { drops });
    const [kept, plain] = [run({ encoders: { audio: encoder }, fusion: {} }), run(null)];
    expectClose(kept, plain, { maxAbs: 1e-6 });
    disposeTree([encoder, kept, plain]);
    dispose();
  });

  it('refuses drops of another batch, depth or modality', () => {
    const { parameters, patches, dispose } = setUp();
    const run = (drops: ClassifierDrops | null) => (): void => {
      try {
        classifierForward(config, parameters, 'audio', patches, { drops }).dispose();
      } finally {
        disposeTree(drops);
      }
    };
    expect(run(dropsOf(0.1, keys.slice(1)))).toThrow(
      'classifierForward: drops.encoders.audio: expected factors of 3 clips, [3], got [2]',
    );
    const deeper = { ...config, encoder: { ...config.encoder, depth: 3 } };
    expect(run(classifierDrops(deeper, 'audio', 0.1, keys))).toThrow(
      'classifierForward: drops.encoders.audio: expected factors of 2 blocks, got those of 3',
    );
    expect(run(classifierDrops(config, 'video', 0.1, keys))).toThrow(
      'classifierForward: drops.encoders.audio: expected factors of 2 blocks, got those of 0',
    );
    dispose();
  });
});
