// SPDX-License-Identifier: Apache-2.0
import { disposeTree, fold, makeKey } from '@diffmavil/core';
import { alphaBars } from '@diffmavil/schedulers';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel } from './config.ts';
import type { ModelConfig } from './config.ts';
import type { PerModality } from './fusion.ts';
import { pretrainForward } from './mavil.ts';
import { initializeParameters } from './parameters.ts';
import { presets } from './presets.ts';
import { samplePatches } from './sampling.ts';
import type { SampleInput, SampleOptions, SampleState } from './sampling.ts';
import { testInputs } from './test-inputs.ts';

beforeAll(devices[0]!.use);

const config = presets.tiny;
const ratio = 0.8;
// 64 audio tokens of 64 values, 12 visible; 32 video tokens of 384 values, 6 visible.
const audioShape = [2, 52, 64];
const videoShape = [2, 26, 384];

function inputsOf(model: ModelConfig, batch: number, seed: number): PerModality<SampleInput> {
  const given = testInputs(model, batch, seed);
  const keys = Array.from({ length: batch }, (_, clip) => fold(makeKey(seed), 'clip', clip));
  return Object.fromEntries(
    Object.entries(given).map(([modality, { patches, order, noise }]) => {
      disposeTree(noise);
      return [modality, { patches, order, keys }];
    }),
  );
}

/** Weights whose decoders predict `value` whatever they see. */
function constantModel(value: number): Record<string, tf.Tensor> {
  const parameters = initializeParameters(config, makeKey(1));
  for (const modality of ['audio', 'video']) {
    const [weight, bias] = [`${modality}_decoder.head.weight`, `${modality}_decoder.head.bias`];
    const [old, oldBias] = [parameters[weight]!, parameters[bias]!];
    parameters[weight] = tf.zeros(old.shape);
    parameters[bias] = tf.fill(oldBias.shape, value);
    disposeTree([old, oldBias]);
  }
  return parameters;
}

const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];
const moments = (x: readonly number[]): { mean: number; variance: number } => {
  const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
  return { mean, variance: x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length };
};

/** Samples with `parameters` and hands each state over as plain numbers. */
function follow(
  parameters: Record<string, tf.Tensor>,
  options: SampleOptions,
): { states: { timestep: number; alphaBar: number; audio: number[] }[]; audio: number[] } {
  const inputs = inputsOf(config, 2, 3);
  const states: { timestep: number; alphaBar: number; audio: number[] }[] = [];
  const onStep = ({ step, noised }: SampleState): void => {
    states.push({
      timestep: step.timestep,
      alphaBar: step.alphaBar,
      audio: values(noised.audio!),
    });
  };
  const made = samplePatches(config, parameters, inputs, ratio, { ...options, onStep });
  const audio = values(made.audio!);
  disposeTree([inputs.audio, inputs.video, made]);
  return { states, audio };
}

describe('samplePatches', () => {
  it('returns the hidden patches of audio, of video, and of both, the latter taken together', () => {
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const { audio, video } = inputsOf(config, 2, 3);
      const run = (given: PerModality<SampleInput>): PerModality<tf.Tensor3D> =>
        samplePatches(config, parameters, given, ratio, { steps: 2 });
      const [sound, pictures, both] = [
        run({ audio: audio! }),
        run({ video: video! }),
        run({ audio: audio!, video: video! }),
      ];
      expect(Object.keys(sound)).toEqual(['audio']);
      expect(sound.audio!.shape).toEqual(audioShape);
      expect(Object.keys(pictures)).toEqual(['video']);
      expect(pictures.video!.shape).toEqual(videoShape);
      expect([both.audio!.shape, both.video!.shape]).toEqual([audioShape, videoShape]);
      // The fusion lets each see the other, so the noise is the same and the sample is not.
      expect(values(both.audio!)).not.toEqual(values(sound.audio!));
      disposeTree([parameters, audio, video, sound, pictures, both]);
    });
  });

  it('hides each modality by its own ratio', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const inputs = inputsOf(config, 2, 3);
    const made = samplePatches(
      config,
      parameters,
      inputs,
      { audio: 0.5, video: 0.9 },
      { steps: 1 },
    );
    // floor(64 x 0.5) = 32 and floor(32 x 0.1) = 3 stay visible.
    expect([made.audio!.shape[1], made.video!.shape[1]]).toEqual([32, 29]);
    disposeTree([parameters, inputs.audio, inputs.video, made]);
  });

  it('samples a clip alike, alone and in a batch', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const { audio } = inputsOf(config, 2, 3);
    const second: SampleInput = {
      patches: tf.slice(audio!.patches, [1, 0, 0], [1, -1, -1]),
      order: tf.slice(audio!.order, [1, 0], [1, -1]),
      keys: [audio!.keys[1]!],
    };
    const options = { steps: 3 };
    const batch = samplePatches(config, parameters, { audio: audio! }, ratio, options);
    const alone = samplePatches(config, parameters, { audio: second }, ratio, options);
    const own = tf.slice(batch.audio!, [1, 0, 0], [1, -1, -1]);
    expectClose(alone.audio!, own, { maxAbs: 1e-5 });
    disposeTree([parameters, audio, second, batch, alone, own]);
  });

  const selfAttending = { audioAttention: 'global', videoAttention: 'self' } as const;
  const variants: [string, ModelConfig][] = [
    ['separate decoders', config],
    [
      'a joint decoder',
      defineModel({
        ...config,
        decoder: { ...config.decoder, ...selfAttending, sharing: 'joint' },
      }),
    ],
    [
      'inpainting from the other modality',
      defineModel({
        ...config,
        decoder: { ...config.decoder, ...selfAttending, context: 'other-modality' },
      }),
    ],
  ];

  it.each(variants)(
    'predicts at each step what training predicts from the same x_t: %s',
    (_, model) => {
      expectNoLeak(() => {
        const parameters = initializeParameters(model, makeKey(1));
        const inputs = inputsOf(config, 2, 3);
        const kept: { timestep: number; noised: tf.Tensor[]; prediction: tf.Tensor[] }[] = [];
        const onStep = ({ step: { timestep }, noised, prediction }: SampleState): void => {
          const copy = ({ audio, video }: PerModality<tf.Tensor>): tf.Tensor[] => [
            tf.keep(tf.clone(audio!)),
            tf.keep(tf.clone(video!)),
          ];
          kept.push({ timestep, noised: copy(noised), prediction: copy(prediction) });
        };
        disposeTree(samplePatches(model, parameters, inputs, ratio, { steps: 5, onStep }));
        const state = kept.find(({ timestep }) => timestep === 200)!;
        const trained = tf.tidy(() => {
          const abar = alphaBars({
            kind: 'linear',
            timesteps: 1000,
            betaStart: 1e-4,
            betaEnd: 0.02,
            exponent: 0.8,
          })[199]!;
          const input = (modality: 'audio' | 'video', i: number) => {
            const { patches, order } = inputs[modality]!;
            const masked = state.noised[i]!.shape[1]!;
            const hidden = tf.slice(order, [0, order.shape[1]! - masked], [-1, masked]);
            const rows = [0, 1].map((clip) =>
              tf.gather(
                tf.squeeze(tf.slice(patches, [clip, 0, 0], [1, -1, -1]), [0]),
                tf.squeeze(tf.slice(hidden, [clip, 0], [1, -1]), [0]),
              ),
            );
            const clean = tf.stack(rows);
            const noise = tf.div(
              tf.sub(state.noised[i]!, tf.mul(clean, Math.sqrt(abar))),
              Math.sqrt(1 - abar),
            );
            return { patches, order, timesteps: [200, 200], noise: { values: noise } };
          };
          const outputs = pretrainForward(
            model,
            parameters,
            { audio: input('audio', 0), video: input('video', 1) },
            ratio,
          );
          return [outputs.audioPrediction!, outputs.videoPrediction!];
        });
        expectClose(trained[0]!, state.prediction[0]!, { maxAbs: 1e-5 });
        expectClose(trained[1]!, state.prediction[1]!, { maxAbs: 1e-5 });
        disposeTree([parameters, inputs.audio, inputs.video, trained, kept]);
      });
    },
  );

  it('leads a model that always predicts c to c, through N(sqrt(abar) c, 1 - abar) with DDPM', () => {
    const parameters = constantModel(0.7);
    for (const variance of ['posterior', 'beta'] as const) {
      const { states, audio } = follow(parameters, {
        steps: 8,
        sampler: { kind: 'ddpm', variance },
      });
      for (const value of audio) expect(Math.abs(value - 0.7)).toBeLessThan(1e-6);
      expect(states.map(({ timestep }) => timestep)).toEqual([
        1000, 875, 750, 625, 500, 375, 250, 125,
      ]);
      // 6656 values: a mean strays by 1/sqrt(6656) = 0.012 of a deviation, a variance by sqrt(2/6656) = 0.017 of itself; four of each.
      for (const { alphaBar, audio: noised } of variance === 'posterior' ? states : []) {
        const { mean, variance: spread } = moments(noised);
        expect(Math.abs(mean - 0.7 * Math.sqrt(alphaBar))).toBeLessThan(0.05);
        expect(Math.abs(spread / (1 - alphaBar) - 1)).toBeLessThan(0.07);
      }
    }
    disposeTree(parameters);
  });

  it('carries the same noise along a DDIM path with eta 0', () => {
    const parameters = constantModel(0.7);
    const { states, audio } = follow(parameters, { steps: 4, sampler: { kind: 'ddim' } });
    const noiseOf = ({ audio: noised, alphaBar }: (typeof states)[number]): number[] =>
      noised.map((x) => (x - 0.7 * Math.sqrt(alphaBar)) / Math.sqrt(1 - alphaBar));
    const first = noiseOf(states[0]!);
    for (const state of states) expectClose(noiseOf(state), first, { maxAbs: 1e-4 });
    for (const value of audio) expect(Math.abs(value - 0.7)).toBeLessThan(1e-6);
    disposeTree(parameters);
  });

  it('makes DDIM with eta 1 the DDPM of the posterior variance', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const ddpm = follow(parameters, { steps: 6 });
    const ddim = follow(parameters, { steps: 6, sampler: { kind: 'ddim', eta: 1 } });
    expectClose(ddim.audio, ddpm.audio, { maxAbs: 1e-5 });
    const none = follow(parameters, { steps: 6, sampler: { kind: 'ddim' } });
    expect(moments(none.audio.map((x, i) => x - ddpm.audio[i]!)).variance).toBeGreaterThan(1e-6);
    disposeTree(parameters);
  });

  it('clips predictions only when asked', () => {
    const parameters = constantModel(1.5);
    expect(Math.max(...follow(parameters, { steps: 3 }).audio)).toBeCloseTo(1.5, 6);
    expect(Math.max(...follow(parameters, { steps: 3, clip: [-1, 1] }).audio)).toBeCloseTo(1, 6);
    expect(() => follow(parameters, { steps: 3, clip: [1, -1] })).toThrow(
      'samplePatches: expected clip [low, high], got [1, -1]',
    );
    disposeTree(parameters);
  });

  it('visits the timesteps of the spacing', () => {
    const parameters = constantModel(0);
    const visited = (options: SampleOptions): number[] =>
      follow(parameters, options).states.map(({ timestep }) => timestep);
    expect(visited({ steps: 4, spacing: 'leading' })).toEqual([751, 501, 251, 1]);
    expect(visited({ steps: 4, spacing: 'linspace' })).toEqual([1000, 667, 334, 1]);
    disposeTree(parameters);
  });

  it('refuses what cannot be sampled', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const inputs = inputsOf(config, 2, 3);
    const run =
      (model: ModelConfig, given: PerModality<SampleInput>, options: Partial<SampleOptions> = {}) =>
      (): unknown =>
        samplePatches(model, parameters, given, ratio, { steps: 2, ...options });
    expect(run(defineModel({ ...config, masked: { kind: 'mask-token' } }), inputs)).toThrow(
      'samplePatches: expected a model with diffused patches, got one with mask tokens. Try: one step',
    );
    expect(run(defineModel({ ...config, loss: { normalizeTargets: true } }), inputs)).toThrow(
      'samplePatches: expected a model of raw targets, got one of normalised targets, which cannot be noised again. Try: one step',
    );
    const student = { ...config, targets: { kind: 'teacher', width: 24 } } as const;
    expect(run(defineModel(student), inputs)).toThrow(
      "predict: expected a model with targets.kind 'patches', got 'teacher'",
    );
    const inpainting = defineModel({
      ...config,
      decoder: { ...config.decoder, audioAttention: 'global', context: 'other-modality' },
    });
    expect(run(inpainting, { audio: inputs.audio! })).toThrow(
      'predict: expected video too, as this model paints audio in from it, got none',
    );
    expect(run(config, { audio: { ...inputs.audio!, keys: [] } })).toThrow(
      'samplePatches: expected 2 keys for audio, got 0',
    );
    expect(run(config, {})).toThrow(
      'predict: expected patches of audio, video or both, got neither',
    );
    expect(run(config, inputs, { steps: 1001 })).toThrow(
      'respacedTimesteps: expected steps to be a whole number in [1, 1000], got 1001',
    );
    expect(run(config, inputs, { sampler: { kind: 'ddim', eta: 2 } })).toThrow(
      'ddimStep: expected eta in [0, 1], got 2',
    );
    disposeTree([parameters, inputs.audio, inputs.video]);
  });
});
