// SPDX-License-Identifier: Apache-2.0
import { adamwUpdate, disposeTree, fold, makeKey, uniforms, valueAndGrads } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { bottleneckFromEncoders } from './bottleneck-from-encoders.ts';
import { audioVideoClassifierForward } from './classifier.ts';
import { defineModel } from './config.ts';
import type { ModelConfig } from './config.ts';
import { classifierDrops } from './drop-path.ts';
import type { ClassifierDrops } from './drop-path.ts';
import { encode, meanPool } from './encoder.ts';
import type { PerModality } from './fusion.ts';
import { classifierShapes, initializeClassifier, initializeParameters } from './parameters.ts';
import { presets } from './presets.ts';
import { testInputs } from './test-inputs.ts';

beforeAll(devices[0]!.use);

const joint = defineModel({ ...presets.tiny, fusion: { kind: 'joint', depth: 2 } });
const keys = [0, 1, 2].map((clip) => fold(makeKey(5), clip));

function patchesOf(config: ModelConfig, batch = 3): PerModality<tf.Tensor> {
  const inputs = testInputs(config, batch, 1);
  const { audio, video } = inputs;
  disposeTree([audio!.order, video!.order, audio!.noise, video!.noise]);
  return { audio: audio!.patches, video: video!.patches };
}

/** Weights whose head makes logits of order one: drawn heads start near nought. */
function classifierOf(config: ModelConfig, seed = 1): Record<string, tf.Tensor> {
  const parameters = initializeClassifier(config, 'both', 4, makeKey(seed));
  const old = parameters['av_head.linear.weight']!;
  parameters['av_head.linear.weight'] = tf.tensor(uniforms(makeKey(9), old.size), old.shape);
  old.dispose();
  return parameters;
}

describe('audioVideoClassifierForward', () => {
  it('without a fusion is the head of both means side by side, final norms kept', () => {
    expectNoLeak(() => {
      const config = defineModel({ ...presets.tiny, fusion: { kind: 'none' } });
      const parameters = classifierOf(config);
      const patches = patchesOf(config);
      const logits = audioVideoClassifierForward(config, parameters, patches);
      const expected = tf.tidy(() => {
        const means = (['audio', 'video'] as const).map((m) =>
          meanPool(config, encode(config, parameters, m, patches[m]!)),
        );
        const both = tf.concat(means, 1);
        const { mean, variance } = tf.moments(both, 1, true);
        const unit = tf.div(tf.sub(both, mean), tf.sqrt(tf.add(variance, 1e-6)));
        return tf.matMul(unit, parameters['av_head.linear.weight']!, false, true);
      });
      expect(logits.shape).toEqual([3, 4]);
      expectClose(logits, expected, { nmse: 1e-10 });
      disposeTree([logits, expected, parameters, patches]);
    });
  });

  it('encodes only the tokens it is told to, of either modality', () => {
    const parameters = classifierOf(joint);
    const patches = patchesOf(joint);
    const order = {
      audio: tf.tensor2d([3, 1, 5, 9, 7, 6], [3, 2], 'int32'),
      video: tf.tensor2d([0, 8, 31, 2, 4, 5], [3, 2], 'int32'),
    };
    const cut = Object.fromEntries(
      (['audio', 'video'] as const).map((m) => {
        const touched = tf.tidy(() => {
          const kept = tf.tensor2d(
            Array.from({ length: 3 }, (_, clip) => {
              const own = [...order[m].dataSync()].slice(2 * clip, 2 * clip + 2);
              return Array.from({ length: patches[m]!.shape[1]! }, (_, i) =>
                Number(own.includes(i)),
              );
            }),
          );
          return tf.mul(patches[m]!, tf.expandDims(kept, 2));
        });
        return [m, touched];
      }),
    );
    const some = audioVideoClassifierForward(joint, parameters, patches, { order });
    // What is not encoded may be anything.
    const same = audioVideoClassifierForward(joint, parameters, cut, { order });
    expectClose(some, same, { maxAbs: 1e-6 });
    const all = audioVideoClassifierForward(joint, parameters, patches);
    expect(some.dataSync()).not.toEqual(all.dataSync());
    disposeTree([some, same, all, order, cut, parameters, patches]);
  });

  it('drops paths by key, in encoders and fusion, and scales what stays by 1 / (1 - p)', () => {
    const parameters = classifierOf(joint);
    const patches = patchesOf(joint);
    const run = (seed: number, dropPath: number): number[] =>
      tf.tidy(() => [
        ...audioVideoClassifierForward(joint, parameters, patches, {
          drops: classifierDrops(
            joint,
            'both',
            dropPath,
            keys.map((key) => fold(key, seed)),
          ),
        }).dataSync(),
      ]);
    expect(run(1, 0.5)).toEqual(run(1, 0.5));
    expect(run(1, 0.5)).not.toEqual(run(2, 0.5));
    expectClose(run(1, 1e-9), run(1, 0), { maxAbs: 1e-5 });
    disposeTree([parameters, patches]);
  });

  it('raises drop path over the encoder, stays at the rate in a joint fusion, goes on rising in a bottleneck', () => {
    // With a rate next to 1 nearly every branch of a block at the full rate is dropped: its weights then do not matter.
    const influence = (kind: 'joint' | 'bottleneck', depth: number, block: string): number => {
      const fusion = { kind, depth, bottlenecks: 2, finalNorm: false };
      const config = defineModel({ ...presets.tiny, fusion });
      const parameters = classifierOf(config);
      const patches = patchesOf(config);
      const name = `${block}.mlp.fc2.weight`;
      const larger = { ...parameters, [name]: tf.mul(parameters[name]!, 3) };
      const [plain, changed] = [parameters, larger].map((given) =>
        tf.tidy(() => {
          const options = { drops: classifierDrops(config, 'both', 0.999, keys) };
          return audioVideoClassifierForward(config, given, patches, options).dataSync();
        }),
      );
      disposeTree([parameters, larger[name], patches]);
      return Math.max(...plain!.map((x, i) => Math.abs(x - changed![i]!)));
    };
    // Two blocks of the encoder, then: rates 0, r | r joint; 0, r/2 | r with one block after a bottleneck, 0, r/4 | r/2 ... r with three.
    const [first, second] = ['audio_encoder.blocks.0', 'audio_encoder.blocks.1'];
    expect(influence('joint', 1, first)).toBeGreaterThan(1e-4);
    expect(influence('joint', 1, second)).toBe(0);
    expect(influence('joint', 1, 'fusion.blocks.0')).toBe(0);
    expect(influence('bottleneck', 1, 'fusion.audio_blocks.0')).toBe(0);
    expect(influence('bottleneck', 3, second)).toBeGreaterThan(1e-4);
  });

  it.each(['joint', 'bottleneck', 'modality-norms'] as const)(
    'gives the same gradients with drop path when blocks are recomputed: %s',
    (kind) => {
      expectNoLeak(() => {
        const config = defineModel({ ...presets.tiny, fusion: { kind, depth: 2 } });
        const parameters = classifierOf(config);
        const patches = patchesOf(config);
        const run = (checkpointing: boolean): Record<string, tf.Tensor> => {
          const { outputs, grads } = valueAndGrads(() => {
            const drops = classifierDrops(config, 'both', 0.3, keys);
            const options = { drops, checkpointing };
            const logits = audioVideoClassifierForward(config, parameters, patches, options);
            return { loss: tf.sum(tf.square(logits)) };
          }, parameters);
          disposeTree(outputs);
          return grads;
        };
        const [kept, recomputed] = [run(false), run(true)];
        for (const [name, gradient] of Object.entries(kept)) {
          expect(recomputed[name]!.dataSync()).toEqual(gradient.dataSync());
        }
        disposeTree([kept, recomputed, parameters, patches]);
      });
    },
  );

  it('learns a batch by heart', () => {
    const config = defineModel({
      ...presets.tiny,
      audio: { frames: 16, mels: 16, patch: 8 },
      video: { frames: 4, size: 16, tubelet: 2, patch: 8 },
      fusion: { kind: 'bottleneck', depth: 1 },
      decoder: { ...presets.tiny.decoder, audioAttention: 'global' },
    });
    const patches = patchesOf(config, 4);
    const target = tf.tidy(() => tf.oneHot(tf.tensor1d([0, 1, 2, 3], 'int32'), 4));
    const parameters = initializeClassifier(config, 'both', 4, makeKey(1));
    const zeros = (): Record<string, tf.Tensor> =>
      Object.fromEntries(Object.entries(parameters).map(([name, x]) => [name, tf.zerosLike(x)]));
    let state = { parameters, firstMoments: zeros(), secondMoments: zeros() };
    const losses: number[] = [];
    for (let step = 1; step <= 40; step++) {
      const { outputs, grads } = valueAndGrads(() => {
        const logits = audioVideoClassifierForward(config, state.parameters, patches);
        const likelihood = tf.sub(logits, tf.logSumExp(logits, -1, true));
        return { loss: tf.neg(tf.mean(tf.sum(tf.mul(target, likelihood), -1))) };
      }, state.parameters);
      losses.push(outputs.loss.dataSync()[0]!);
      const rates = { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0 };
      state = adamwUpdate({ ...state, gradients: grads }, { ...rates, step });
      disposeTree([outputs, grads]);
    }
    // Four classes from a head near nought: ln 4 at first.
    expect(losses[0]).toBeCloseTo(Math.log(4), 3);
    expect(losses.at(-1)).toBeLessThan(0.1);
    disposeTree([state, patches, target]);
  });

  it('refuses a clip of one modality, and drops that do not fit', () => {
    const parameters = classifierOf(joint);
    const patches = patchesOf(joint);
    expect(() => audioVideoClassifierForward(joint, parameters, { audio: patches.audio! })).toThrow(
      'audioVideoClassifierForward: expected patches of audio and video, got none of video',
    );
    const of = (config: ModelConfig): ClassifierDrops =>
      classifierDrops(config, 'both', 0.1, keys)!;
    const whole = of(joint);
    const run =
      (drops: ClassifierDrops, config = joint) =>
      (): unknown =>
        audioVideoClassifierForward(config, parameters, patches, { drops });
    expect(run({ ...whole, encoders: { audio: whole.encoders.audio! } })).toThrow(
      'audioVideoClassifierForward: drops.encoders.video: expected factors of 2 blocks, got those of 0',
    );
    const shallow = of(defineModel({ ...joint, fusion: { kind: 'joint', depth: 1 } }));
    expect(run(shallow)).toThrow(
      'audioVideoClassifierForward: drops.fusion.audio: expected factors of 2 blocks, got those of 1',
    );
    const bottleneck = defineModel({ ...joint, fusion: { kind: 'bottleneck', depth: 2 } });
    expect(run(whole, bottleneck)).toThrow(
      'audioVideoClassifierForward: drops.fusion.video: expected factors of 2 blocks, got those of 0',
    );
    disposeTree([parameters, patches, whole, shallow]);
  });
});

describe('bottleneckFromEncoders', () => {
  const config = defineModel({
    ...presets.tiny,
    encoder: { ...presets.tiny.encoder, depth: 3 },
  });

  it('moves the last blocks of both encoders into the fusion', () => {
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const made = bottleneckFromEncoders(config, parameters, 1, {
        key: makeKey(2),
        bottlenecks: 2,
      });
      expect(made.config.encoder).toMatchObject({ depth: 1, finalNorm: false });
      expect(made.config.fusion).toEqual({
        kind: 'bottleneck',
        depth: 2,
        bottlenecks: 2,
        finalNorm: false,
      });
      const shapes = classifierShapes(made.config, 'both', 3);
      const own = Object.keys(shapes).filter((name) => !name.startsWith('av_head.'));
      expect(Object.keys(made.parameters).toSorted()).toEqual(own.toSorted());
      for (const name of own) expect(made.parameters[name]!.shape).toEqual(shapes[name]);
      const same = (to: string, from: string): void =>
        expect(made.parameters[to]!.dataSync()).toEqual(parameters[from]!.dataSync());
      same('fusion.video_blocks.1.attn.qkv.weight', 'video_encoder.blocks.2.attn.qkv.weight');
      same('fusion.audio_blocks.0.mlp.fc1.weight', 'audio_encoder.blocks.1.mlp.fc1.weight');
      same('audio_encoder.blocks.0.mlp.fc1.weight', 'audio_encoder.blocks.0.mlp.fc1.weight');
      disposeTree([parameters, made.parameters]);
    });
  });

  it('computes what the encoders did, up to what the new tokens add', () => {
    // A bottleneck key far from every query, its value nought: set by tokens of zeros and norms without a bias, whose norm1 is then 0, and
    // qkv without a bias. Attention gives them exp(0) of weight, so tokens are the encoder's own as the count of bottlenecks over that of
    // tokens goes to nought: with scores near 0, a share of n / (n + b).
    const parameters = initializeParameters(config, makeKey(1));
    const made = bottleneckFromEncoders(config, parameters, 2, { key: makeKey(2), bottlenecks: 1 });
    const quiet = { ...made.parameters, 'fusion.bottleneck': tf.zeros([1, 1, 24]) };
    const patches = patchesOf(config);
    const head = initializeClassifier(made.config, 'both', 2, makeKey(3), (name) =>
      name.startsWith('av_head.'),
    );
    // The head reads the mean of the audio tokens: its first weights, the rest nought.
    const weight = tf.tidy(() => tf.concat([tf.eye(24), tf.zeros([24, 24])], 1));
    const logits = audioVideoClassifierForward(
      made.config,
      { ...quiet, ...head, 'av_head.linear.weight': weight, 'av_head.linear.bias': tf.zeros([24]) },
      patches,
    );
    const plain = tf.tidy(() => {
      const means = (['audio', 'video'] as const).map((m) =>
        meanPool(config, encode(config, parameters, m, patches[m]!, { finalNorm: false })),
      );
      const both = tf.concat(means, 1);
      const { mean, variance } = tf.moments(both, 1, true);
      return tf.slice(
        tf.div(tf.sub(both, mean), tf.sqrt(tf.add(variance, 1e-6))),
        [0, 0],
        [-1, 24],
      );
    });
    // One bottleneck token among 65 of audio and 33 of video: a few per cent of one branch of one block.
    expectClose(logits, plain, { nmse: 1e-3 });
    expect(logits.dataSync()).not.toEqual(plain.dataSync());
    disposeTree([parameters, made.parameters, quiet, patches, head, weight, logits, plain]);
  });

  it('gives both modalities the blocks of a shared encoder', () => {
    const shared = defineModel({ ...config, encoder: { ...config.encoder, sharing: 'shared' } });
    const parameters = initializeParameters(shared, makeKey(1));
    const made = bottleneckFromEncoders(shared, parameters, 2, { key: makeKey(2) });
    for (const modality of ['audio', 'video']) {
      expect(made.parameters[`fusion.${modality}_blocks.0.attn.proj.weight`]!.dataSync()).toEqual(
        parameters['shared_encoder.blocks.2.attn.proj.weight']!.dataSync(),
      );
    }
    expect(made.parameters['shared_encoder.blocks.1.attn.proj.weight']).toBeDefined();
    expect(made.parameters['shared_encoder.blocks.2.attn.proj.weight']).toBeUndefined();
    disposeTree([parameters, made.parameters]);
  });

  it('refuses one modality and layers that are not there', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const run = (model: ModelConfig, layer: number) => (): unknown =>
      bottleneckFromEncoders(model, parameters, layer, { key: makeKey(2) });
    expect(run(config, 3)).toThrow('bottleneckFromEncoders: expected fusionLayer 0..2, got 3');
    expect(run(defineModel({ ...config, video: null }), 1)).toThrow(
      'bottleneckFromEncoders: expected a model of audio and video, got one of them',
    );
    disposeTree(parameters);
  });
});
