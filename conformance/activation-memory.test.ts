// SPDX-License-Identifier: Apache-2.0
// What `trainingCosts` says is kept for the backward pass, beside what the tape holds on the native backend. That it holds on tfjs's cpu
// backend, for every preset, is tested in @diffmavil/model.
import {
  disposeTree,
  fold,
  keysTensorData,
  makeKey,
  normals,
  tensorsIn,
  valueAndGrads,
} from '@diffmavil/core';
import {
  defineModel,
  initializeParameters,
  maskOrder,
  modalities,
  patchValues,
  presets,
  pretrainForward,
  tokenCount,
  trainingCosts,
} from '@diffmavil/model';
import type { Modality, ModalityInput, ModelConfig } from '@diffmavil/model';
import { backendName, findAddon, registerNative } from '@diffmavil/native';
import { savedBytes } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

const noAddon = findAddon().addon === null;
const note = noAddon ? ' (skipped: the native addon is not built)' : '';
const batch = 3;

function randomInput(config: ModelConfig, modality: Modality): ModalityInput {
  const key = fold(makeKey(1), modality);
  const [tokens, values] = [tokenCount(config, modality), patchValues(config, modality)];
  const clips = Array.from({ length: batch }, (_, clip) => fold(key, clip));
  const orders = clips.flatMap((clip) => [...maskOrder(clip, tokens)]);
  return {
    patches: tf.tensor3d(normals(key, batch * tokens * values), [batch, tokens, values]),
    order: tf.tensor2d(orders, [batch, tokens], 'int32'),
    timesteps: clips.map((_, clip) => 100 * (clip + 1)),
    noise: { keys: tf.tensor2d(keysTensorData(clips), [batch, 4], 'int32') },
  };
}

/** Bytes the tape holds when the forward pass of a step ends. */
function heldBytes(config: ModelConfig, precision: 'float32' | 'bfloat16'): number {
  const parameters = initializeParameters(config, makeKey(2));
  const inputs = Object.fromEntries(modalities(config).map((m) => [m, randomInput(config, m)]));
  let held = 0;
  const step = valueAndGrads(() => {
    const outputs = pretrainForward(config, parameters, inputs, 0.8, { precision });
    held = savedBytes(outputs.loss, Object.values(parameters), tensorsIn(inputs));
    return outputs;
  }, parameters);
  disposeTree([step, parameters, inputs]);
  return held;
}

describe.skipIf(noAddon)(`activation memory on diffmavil-cpu${note}`, () => {
  beforeAll(async () => {
    registerNative();
    await tf.setBackend(backendName);
  });

  const { decoder } = presets.tiny;
  it.each([
    ['tiny', presets.tiny],
    ['small', presets.small],
    [
      'cosine windows',
      defineModel({ ...presets.tiny, decoder: { ...decoder, audioAttention: 'cosine-window' } }),
    ],
  ] as const)('is what exact accounting says, in float32: %s', (_, config) => {
    const { activations } = trainingCosts(config, 0.8, { batch, accounting: 'exact' }).bytes;
    expect(heldBytes(config, 'float32')).toBe(activations);
  });

  it('is less in bfloat16, where attention and hidden layers are kept in 16 bits', () => {
    const { activations } = trainingCosts(presets.small, 0.8, { batch, accounting: 'exact' }).bytes;
    expect(heldBytes(presets.small, 'bfloat16')).toBeLessThan(activations);
  });
});
