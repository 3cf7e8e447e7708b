// SPDX-License-Identifier: Apache-2.0
// Numbers are checked against PyTorch in conformance/trace.test.ts; here: names, shapes and what is refused.
import { DiffmavilError, disposeTree, makeKey, normals } from '@diffmavil/core';
import {
  type ModelConfig,
  type SafeTensor,
  defineModel,
  initializeParameters,
  parameterShapes,
} from '@diffmavil/model';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { traceStep } from './trace.ts';

const config = defineModel({
  audio: { frames: 16, mels: 8, patch: 4 },
  video: null,
  encoder: { width: 8, depth: 1, heads: 2 },
  fusion: { kind: 'none' },
  decoder: { width: 8, depth: 1, heads: 2, audioAttention: 'global' },
  loss: { intraWeight: 0 },
});
const maskRatio = 0.75; // of 8 tokens: 2 visible, 6 masked

function tensors(): Record<string, SafeTensor> {
  const parameters = initializeParameters(config, makeKey(1));
  const weights = Object.entries(parameters).map(([name, tensor]) => [
    name,
    { dtype: 'F32', shape: tensor.shape, data: Float32Array.from(tensor.dataSync()) },
  ]);
  disposeTree(parameters);
  const order = [5, 2, 7, 0, 1, 3, 4, 6];
  const inputs: Record<string, SafeTensor> = {
    'audio.patches': { dtype: 'F32', shape: [2, 8, 16], data: normals(makeKey(2), 256) },
    'audio.order': {
      dtype: 'I32',
      shape: [2, 8],
      data: Int32Array.from([...order, ...order.toReversed()]),
    },
    'audio.timestep': { dtype: 'I64', shape: [2], data: BigInt64Array.from([1n, 1000n]) },
    'audio.noise': { dtype: 'F32', shape: [2, 6, 16], data: normals(makeKey(3), 192) },
  };
  return { ...(Object.fromEntries(weights) as Record<string, SafeTensor>), ...inputs };
}

/** The message of the error that these changes cause; nothing may be left of the attempt. */
async function messageOf(
  changed: Record<string, SafeTensor | undefined>,
  variant: ModelConfig = config,
): Promise<string> {
  const given = Object.entries({ ...tensors(), ...changed }).filter(
    ([, tensor]) => tensor !== undefined,
  );
  const request = {
    config: variant,
    maskRatio,
    tensors: Object.fromEntries(given) as Record<string, SafeTensor>,
  };
  const { numTensors } = tf.memory();
  const error: unknown = await traceStep(request).catch((caught: unknown) => caught);
  expect(tf.memory().numTensors).toBe(numTensors);
  expect(error).toBeInstanceOf(DiffmavilError);
  return (error as Error).message;
}

describe('traceStep', () => {
  beforeAll(devices[0]!.use);

  it('returns the losses, embedding, prediction and the gradient of every weight, and keeps nothing', async () => {
    const results = await expectNoLeak(() => traceStep({ config, tensors: tensors(), maskRatio }));
    const weights = Object.keys(parameterShapes(config));
    expect(Object.keys(results).toSorted()).toEqual(
      [
        'loss',
        'loss.audio',
        'audio.embedding',
        'audio.prediction',
        ...weights.map((name) => `grad.${name}`),
      ].toSorted(),
    );
    expect(results['audio.embedding']?.shape).toEqual([2, 8]);
    expect(results['audio.prediction']?.shape).toEqual([2, 6, 16]);
    const gradients = weights.map((name) => [name, results[`grad.${name}`]?.shape]);
    expect(Object.fromEntries(gradients)).toEqual(parameterShapes(config));
    expect(results['loss']?.data[0]).toBe(results['loss.audio']?.data[0]);
  });

  it('names a tensor that is missing, unknown or misshapen', async () => {
    expect(await messageOf({ 'audio.noise': undefined })).toBe(
      'trace: expected a tensor named audio.noise, got none',
    );
    expect(await messageOf({ 'audio_encoder.norm.bias': undefined })).toContain(
      'missing audio_encoder.norm.bias',
    );
    const stray: SafeTensor = { dtype: 'F32', shape: [1], data: new Float32Array(1) };
    expect(await messageOf({ 'video.patches': stray })).toContain('unknown video.patches');
    expect(await messageOf({ 'audio.patches': stray })).toContain('audio.patches: expected');
  });

  it('refuses an order that is no permutation', async () => {
    const order: SafeTensor = {
      dtype: 'I32',
      shape: [2, 8],
      data: Int32Array.from({ length: 16 }, (_, i) => i),
    };
    expect(await messageOf({ 'audio.order': order })).toBe(
      'trace: audio.order: expected a permutation of 0..7 in each row, got another in row 1',
    );
  });

  it('refuses a second order that repeats a token or leaves the grid', async () => {
    const independent = defineModel({
      ...config,
      masking: { secondView: 'independent' },
      loss: { interWeight: 0, intraWeight: 1 },
    });
    const messageFor = (...data: number[]): Promise<string> => {
      const order: SafeTensor = { dtype: 'I32', shape: [2, 2], data: Int32Array.from(data) };
      return messageOf({ 'audio.second_order': order }, independent);
    };
    const message = 'trace: audio.second_order: expected different tokens of 0..7 in each row';
    expect(await messageFor(3, 3, 0, 1)).toBe(`${message}, got others in row 0`);
    expect(await messageFor(0, 7, 0, 8)).toBe(`${message}, got others in row 1`);
  });
});
