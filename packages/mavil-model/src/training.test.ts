// SPDX-License-Identifier: Apache-2.0
// What only training shows: the loss falls, and gradients equal finite differences in every variant.
import { adamwUpdate, disposeTree, fold, makeKey, uniforms, valueAndGrads } from '@diffmavil/core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel } from './config.ts';
import type { ModelConfig, PartialModelConfig } from './config.ts';
import { pretrainForward } from './mavil.ts';
import { initializeParameters } from './parameters.ts';
import type { Parameters } from './parameters.ts';
import { presets } from './presets.ts';
import { testInputs } from './test-inputs.ts';

beforeAll(devices[0]!.use);

/** The tiny preset, smaller still: 16 audio and 8 video tokens. */
const micro = (change: PartialModelConfig): ModelConfig =>
  defineModel({
    audio: { frames: 16, mels: 16, patch: 4 },
    video: { frames: 4, size: 4, tubelet: 2, patch: 2 },
    encoder: { width: 8, depth: 1, heads: 2 },
    fusion: { depth: 1 },
    decoder: { width: 8, depth: 2, heads: 2, window: [2, 2], shift: [1, 1], ...change.decoder },
    ...(change.masked && { masked: change.masked }),
    ...(change.audio === null && { audio: null }),
    ...(change.video === null && { video: null }),
    // A temperature of 1 keeps the contrast smooth enough for finite differences in float32.
    loss: { interTemperature: 1, intraWeight: 0.1, ...change.loss },
  });

const variants: [string, PartialModelConfig][] = [
  ['cross and window, diffused', {}],
  ['self and global, diffused', { decoder: { videoAttention: 'self', audioAttention: 'global' } }],
  ['mask tokens', { masked: { kind: 'mask-token' } }],
  ['normalised targets', { loss: { normalizeTargets: true } }],
  ['audio only', { video: null }],
  ['video only', { audio: null }],
];

describe('the gradient of the pre-training loss', () => {
  it.each(variants)('equals finite differences: %s', (_, change) => {
    const config = micro(change);
    const faults: string[] = [];
    expectNoLeak(() => {
      const parameters = shaken(config);
      const inputs = testInputs(config, 2, 5);
      const loss = (weights: Parameters): number =>
        tf.tidy(() => pretrainForward(config, weights, inputs, 0.75).loss.dataSync()[0] ?? NaN);
      const { outputs, grads } = valueAndGrads(
        () => pretrainForward(config, parameters, inputs, 0.75),
        parameters,
      );
      // Along a random direction of each weight: one number that involves every element.
      for (const name of probed(parameters)) {
        const weight = parameters[name]!;
        const direction = uniforms(fold(makeKey(9), name), weight.size).map((u) => u - 0.5);
        const step = 0.01;
        const moved = (scale: number): number =>
          tf.tidy(() => {
            const offset = tf.tensor(
              direction.map((d) => d * scale),
              weight.shape,
            );
            return loss({ ...parameters, [name]: tf.add(weight, offset) });
          });
        const numeric =
          (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
        const slopes = grads[name]!.dataSync();
        const exact = direction.reduce((sum, d, i) => sum + d * (slopes[i] ?? NaN), 0);
        // float32 noise of the loss, 4e-7, over the step; at 0.02 the truncated terms show, at 0.005 the noise.
        if (!(Math.abs(numeric - exact) <= 4e-5 + 2e-3 * Math.abs(exact))) {
          faults.push(`${name}: ${numeric} for ${exact}`);
        }
      }
      expect(probed(parameters).length).toBeGreaterThan(5);
      disposeTree([parameters, inputs, outputs, grads]);
    });
    expect(faults).toEqual([]);
  });
});

/** Initial weights with every bias, norm and token moved off its start, where some gradients would be nought. */
function shaken(config: ModelConfig): Record<string, tf.Tensor> {
  const drawn = initializeParameters(config, makeKey(3));
  const moved = Object.entries(drawn).map(([name, weight]) => {
    const offset = uniforms(fold(makeKey(4), name), weight.size).map((u) => (u - 0.5) / 5);
    return [name, tf.tidy(() => tf.add(weight, tf.tensor(offset, weight.shape)))];
  });
  disposeTree(drawn);
  return Object.fromEntries(moved) as Record<string, tf.Tensor>;
}

/** One weight of each part of each module. */
function probed(parameters: Parameters): string[] {
  const parts = [
    'patch_embed.weight',
    'encoder.blocks.0.attn.qkv.weight',
    'fusion.blocks.0.mlp.fc1.weight',
    'decoder.embed.weight',
    'noised_embed.weight',
    'mask_token',
    'decoder.blocks.1.attn.proj.weight',
    'blocks.1.rel_bias',
    'blocks.1.attn.kv.weight',
    'context_norm.weight',
    'decoder.norm.bias',
    'head.weight',
  ];
  return Object.keys(parameters).filter((name) => parts.some((part) => name.endsWith(part)));
}

describe('training the tiny preset', () => {
  it('lowers the loss on two clips at every fifth of 20 steps', () => {
    const config = presets.tiny;
    const losses = expectNoLeak(() => {
      let parameters: Record<string, tf.Tensor> = initializeParameters(config, makeKey(1));
      const zeros = (): Record<string, tf.Tensor> =>
        Object.fromEntries(
          Object.entries(parameters).map(([name, { shape }]) => [name, tf.zeros(shape)]),
        );
      let [firstMoments, secondMoments] = [zeros(), zeros()];
      const inputs = testInputs(config, 2, 2);
      const seen: number[] = [];
      for (let step = 1; step <= 20; step++) {
        const { outputs, grads } = valueAndGrads(
          () => pretrainForward(config, parameters, inputs, 0.8),
          parameters,
        );
        seen.push(outputs.loss.dataSync()[0] ?? NaN);
        ({ parameters, firstMoments, secondMoments } = adamwUpdate(
          { parameters, gradients: grads, firstMoments, secondMoments },
          { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, step },
        ));
        disposeTree([outputs, grads]);
      }
      disposeTree([parameters, firstMoments, secondMoments, inputs]);
      return seen;
    });
    const fifths = [0, 4, 9, 14, 19].map((step) => losses[step] ?? NaN);
    expect(fifths).toEqual(fifths.toSorted((a, b) => b - a));
    // Two reconstructions of unit-variance noise start near 1 + 1 and more; memorised, they fall below.
    expect(losses.at(-1)).toBeLessThan(0.75 * (losses[0] ?? NaN));
  });
});
