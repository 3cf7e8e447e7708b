// SPDX-License-Identifier: Apache-2.0
// The golden cases are steps of an independent PyTorch program in float64 (conformance/golden/diffmavil.py).
import { readdirSync } from 'node:fs';

import { disposeTree, makeKey, valueAndGrads } from '@diffmavil/core';
import {
  devices,
  expectClose,
  expectNoLeak,
  readFixture,
  readJsonFixture,
} from '@diffmavil/testkit';
import type { Fixture } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel, modalities } from './config.ts';
import type { ModelConfig, PartialModelConfig } from './config.ts';
import { mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { pretrainForward } from './mavil.ts';
import { initializeParameters, parameterShapes } from './parameters.ts';
import type { Parameters } from './parameters.ts';
import { presets } from './presets.ts';
import type { ModalityInput } from './split-tokens.ts';
import { testInputs } from './test-inputs.ts';

const cases = readdirSync(
  new URL('../../../conformance/golden/fixtures/diffmavil', import.meta.url),
)
  .flatMap((file) => /^(trace-.*)\.config\.json$/.exec(file)?.[1] ?? [])
  .toSorted();

interface GoldenCase {
  readonly config: ModelConfig;
  readonly maskRatio: number;
  readonly parameters: Parameters;
  readonly inputs: PerModality<ModalityInput>;
  readonly expected: Fixture;
}

function readCase(name: string): GoldenCase {
  const { maskRatio, ...partial } = readJsonFixture(
    `diffmavil/${name}.config.json`,
  ) as PartialModelConfig & { maskRatio: number };
  const config = defineModel(partial);
  const given = readFixture(`diffmavil/${name}.in.safetensors`);
  const names = Object.keys(parameterShapes(config));
  const inputs = modalities(config).map((modality) => {
    const noised = given.names.includes(`${modality}.noise`);
    const noise = noised && {
      noise: { values: given.tensor(`${modality}.noise`) },
      timesteps: [...given.get(`${modality}.timestep`).data],
    };
    const patches = given.tensor(`${modality}.patches`);
    return [modality, { patches, order: given.tensor(`${modality}.order`), ...noise }];
  });
  return {
    config,
    maskRatio,
    parameters: Object.fromEntries(names.map((weight) => [weight, given.tensor(weight)])),
    inputs: Object.fromEntries(inputs) as PerModality<ModalityInput>,
    expected: readFixture(`diffmavil/${name}.out.safetensors`),
  };
}

const goldenNames = {
  loss: 'loss',
  audioLoss: 'loss.audio',
  videoLoss: 'loss.video',
  interLoss: 'loss.inter',
  intraLoss: 'loss.intra',
  audioEmbedding: 'audio.embedding',
  videoEmbedding: 'video.embedding',
  audioPrediction: 'audio.prediction',
  videoPrediction: 'video.prediction',
};

/** Runs a case and compares everything; returns how many gradients were close. */
function compareWithGolden(golden: GoldenCase, checkpointing: boolean): number {
  const { config, parameters, inputs, maskRatio, expected } = golden;
  const { outputs, grads } = valueAndGrads(
    () => pretrainForward(config, parameters, inputs, maskRatio, { checkpointing }),
    parameters,
  );
  const forward = expected.names.filter((name) => !name.startsWith('grad.'));
  const named = Object.entries(outputs).map(
    ([name]) => goldenNames[name as keyof typeof goldenNames],
  );
  expect(named.toSorted()).toEqual(forward.toSorted());
  for (const [name, value] of Object.entries(outputs)) {
    const golden = expected.get(goldenNames[name as keyof typeof goldenNames]);
    expect(value.shape).toEqual(golden.shape);
    // float32 against float64: losses to 1e-5, tensors to a relative norm of 1e-5.
    expectClose(value, golden.data, value.rank === 0 ? { maxRel: 1e-5 } : { nmse: 1e-10 });
  }
  for (const [name, gradient] of Object.entries(grads)) {
    // A relative norm of 1e-4, as the quality bar of parity.
    expectCloseNorm(gradient, expected.get(`grad.${name}`).data, name);
  }
  disposeTree([outputs, grads, parameters, inputs]);
  return Object.keys(grads).length;
}

const gradientCount = (name: string): number =>
  readFixture(`diffmavil/${name}.out.safetensors`).names.filter((n) => n.startsWith('grad.'))
    .length;

/** ||a - e|| <= 1e-4 ||e||; where the true gradient is nought (a key bias), what float32 leaves of it. */
function expectCloseNorm(actual: tf.Tensor, expected: ArrayLike<number>, name: string): void {
  const values = actual.dataSync();
  let [squares, power] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    squares += ((values[i] ?? Number.NaN) - (expected[i] ?? Number.NaN)) ** 2;
    power += (expected[i] ?? 0) ** 2;
  }
  const bound = Math.max(1e-4 * Math.sqrt(power), 1e-7);
  if (!(Math.sqrt(squares) <= bound)) {
    throw new Error(`grad.${name}: expected an error <= ${bound}, got ${Math.sqrt(squares)}`);
  }
}

describe.each(devices)('pretrainForward on $name', (device) => {
  beforeAll(device.use);

  it.each(cases)('equals PyTorch in %s, losses, outputs and every gradient', (name) => {
    const close = expectNoLeak(() => compareWithGolden(readCase(name), false));
    expect(close).toBe(gradientCount(name));
  });
});

describe('pretrainForward', () => {
  beforeAll(devices[0]!.use);

  it.each(['trace-window-cross', 'trace-mask-token-class-token'])(
    'gives the same gradients when blocks are recomputed, %s',
    (name) => {
      const close = expectNoLeak(() => compareWithGolden(readCase(name), true));
      expect(close).toBe(gradientCount(name));
    },
  );

  it('draws keyed noise by itself and returns nothing a configuration has no use for', () => {
    const config = defineModel({ ...presets.tiny, video: null, loss: { intraWeight: 0 } });
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const inputs = testInputs(config, 2, 3);
      const outputs = pretrainForward(config, parameters, inputs, 0.8);
      expect(Object.keys(outputs)).toEqual([
        'loss',
        'audioLoss',
        'audioEmbedding',
        'audioPrediction',
      ]);
      expect(outputs.audioPrediction?.shape).toEqual([2, 52, 64]);
      expect(outputs.audioEmbedding?.shape).toEqual([2, 24]);
      disposeTree([parameters, inputs, outputs]);
    });
  });

  it('takes the mask ratio of each call: 6 of 64 and 3 of 32 visible at 0.9', () => {
    const parameters = initializeParameters(presets.tiny, makeKey(1));
    const inputs = testInputs(presets.tiny, 1, 3);
    const outputs = pretrainForward(presets.tiny, parameters, inputs, 0.9);
    expect(outputs.audioPrediction?.shape).toEqual([1, 58, 64]);
    expect(outputs.videoPrediction?.shape).toEqual([1, 29, 384]);
    disposeTree([parameters, inputs, outputs]);
  });
});

describe('pretrainForward refuses', () => {
  beforeAll(devices[0]!.use);
  const config = presets.tiny;

  const refusal = (
    change: (inputs: PerModality<ModalityInput>) => PerModality<ModalityInput>,
    maskRatio: number = 0.8,
  ): string =>
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const inputs = testInputs(config, 2, 3);
      const changed = change(inputs);
      try {
        pretrainForward(config, parameters, changed, maskRatio);
        return 'nothing';
      } catch (error) {
        return (error as Error).message;
      } finally {
        disposeTree([parameters, inputs, changed]);
      }
    });
  const audio = (
    change: (input: ModalityInput) => Partial<ModalityInput>,
  ): ((inputs: PerModality<ModalityInput>) => PerModality<ModalityInput>) => {
    return ({ audio: input, ...rest }) => ({ ...rest, audio: { ...input!, ...change(input!) } });
  };

  it('patches that overlap', () => {
    const overlapping = defineModel({ audio: { frames: 64, mels: 64, patch: 8, stride: 4 } });
    expect(() => pretrainForward(overlapping, {}, {}, 0.8)).toThrow(
      'pretrainForward: expected audio.stride to be audio.patch (8), got 4: ' +
        'overlapping patches can be embedded and classified, not restored',
    );
  });

  it('a modality that is not there', () => {
    expect(refusal(({ audio: input }) => ({ audio: input! }))).toBe(
      'pretrainForward: video: expected patches, as the configuration has video, got none',
    );
  });

  it('patches of another model', () => {
    expect(refusal(audio(() => ({ patches: tf.zeros([2, 64, 63]) })))).toBe(
      'pretrainForward: audio.patches: expected [batch, tokens = 64, patchValues = 64], got [2, 64, 63]',
    );
  });

  it('an order that is not of integers', () => {
    expect(refusal(audio(() => ({ order: tf.zeros([2, 64]) })))).toBe(
      'pretrainForward: audio.order: expected dtype int32, got float32',
    );
  });

  it('missing timesteps', () => {
    const message = refusal((inputs) => {
      const { patches, order, noise } = inputs.audio!;
      return { ...inputs, audio: { patches, order, noise: noise! } };
    });
    expect(message).toBe(
      'pretrainForward: audio: expected timesteps, as masked patches are diffused, got none',
    );
  });

  it('as many timesteps as there are not clips, and ones outside the schedule', () => {
    expect(refusal(audio(() => ({ timesteps: [1] })))).toBe(
      'pretrainForward: audio.timesteps: expected [batch = 2], got [1]',
    );
    expect(refusal(audio(() => ({ timesteps: [1, 1001] })))).toBe(
      'diffuse: expected timesteps 1..1000, got 1001',
    );
  });

  it('different clips of sound and video', () => {
    const one = audio(({ order }) => ({
      patches: tf.zeros([1, 64, 64]),
      order: tf.slice(order, [0, 0], [1, 64]),
      timesteps: [1],
    }));
    expect(refusal(one)).toBe(
      'pretrainForward: expected as many audio clips as video clips, got 1 and 2',
    );
  });

  it('two views that would overlap', () => {
    expect(refusal((inputs) => inputs, 0.3)).toBe(
      'pretrainForward: audio: expected a mask ratio of at least 0.5, so that two views of 64 tokens do not overlap, got 0.3. ' +
        "Try: set loss.intraWeight to 0, which needs no second view, or masking.secondView to 'independent'",
    );
  });

  it('a record that lacks a weight', () => {
    const inputs = testInputs(config, 1, 1);
    expect(() => pretrainForward(config, {}, inputs, 0.8)).toThrow(
      'model: expected a weight named audio_encoder.patch_embed.weight, got none',
    );
    disposeTree(inputs);
  });
});

describe.each(devices)('gatherNegatives on $name', (device) => {
  beforeAll(device.use);

  it('contrasts half a batch with all clips as the whole batch does, the gradients of both halves adding up', () => {
    expectNoLeak(() => {
      // No masked loss, so that the loss is contrast alone.
      const config = defineModel({ ...presets.tiny, loss: { audioWeight: 0, videoWeight: 0 } });
      const parameters = initializeParameters(config, makeKey(2));
      const inputs = testInputs(config, 4, 3);
      const pass = (
        given: typeof inputs,
        gatherNegatives: (own: tf.Tensor2D) => tf.Tensor2D = (own) => own,
      ): ReturnType<typeof valueAndGrads> =>
        valueAndGrads(
          () => pretrainForward(config, parameters, given, 0.8, { gatherNegatives }),
          parameters,
        );
      const whole = pass(inputs);
      const halves = [0, 2].map((from) => halfOf(inputs, from));
      // What each half would send, in the order it is asked for: both modalities of the first view, then of the second.
      const sent = halves.map((half) => {
        const seen: tf.Tensor2D[] = [];
        disposeTree(
          pass(half, (own) => {
            seen.push(tf.keep(tf.clone(own)));
            return own;
          }),
        );
        return seen;
      });
      const passes = halves.map((half, rank) => {
        let call = 0;
        return pass(half, (own) => {
          const other = sent[1 - rank]?.[call++] as tf.Tensor2D;
          return tf.concat2d(rank === 0 ? [own, other] : [other, own], 0);
        });
      });
      for (const { outputs } of passes) {
        expectClose(outputs.loss, whole.outputs.loss, { maxRel: 1e-5 });
      }
      const name = 'audio_encoder.blocks.1.attn.qkv.weight';
      const sum = tf.tidy(() =>
        passes.map(({ grads }) => grads[name] as tf.Tensor).reduce((a, b) => tf.add(a, b)),
      );
      expectClose(sum, whole.grads[name] as tf.Tensor, { nmse: 1e-8 });
      disposeTree([parameters, inputs, whole, halves, sent, passes, sum]);
    });
  });
});

/** Two clips of a batch, from clip `from` on. */
function halfOf(inputs: PerModality<ModalityInput>, from: number): PerModality<ModalityInput> {
  return mapPresent(inputs, ({ patches, order, timesteps, noise }) => ({
    patches: tf.slice(patches, from, 2),
    order: tf.slice(order, from, 2),
    timesteps: (timesteps as number[]).slice(from, from + 2),
    noise: { keys: tf.slice((noise as { keys: tf.Tensor }).keys, from, 2) },
  }));
}
