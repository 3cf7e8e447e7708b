// SPDX-License-Identifier: Apache-2.0
// What is stepped: a model, a batch of random clips with masks, timesteps and noise, and the optimizer's settings. Weights and batch go
// through safetensors files, so that both sides of a comparison start from the same bits.
import { fold, makeKey, normals } from '@diffmavil/core';
import {
  initializeParameters,
  maskOrder,
  modalities,
  patchValues,
  readSafetensors,
  targetPatchValues,
  tokenCount,
  visibleCount,
  writeSafetensors,
} from '@diffmavil/model';
import type { Modality, ModalityInput, ModelConfig, SafeTensor } from '@diffmavil/model';
import type { TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** One training step, by what decides its arithmetic. Sent to both sides as JSON. */
export interface StepSetup {
  readonly config: ModelConfig;
  readonly batch: number;
  readonly maskRatio: number;
  readonly seed: number;
}

/** AdamW's settings on both sides; weights of linear layers decay, biases, norms and tables do not. */
export const optimizer = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
} as const;

/** Folder with weights.safetensors and batch.safetensors of a setup, below `cache`. */
export function setupFolder(cache: string, setup: StepSetup): string {
  const hash = createHash('sha256').update(JSON.stringify(setup)).digest('hex').slice(0, 16);
  return join(cache, 'steps', hash);
}

/** Writes the files, unless they are there, on the active backend. */
export async function writeSetup(folder: string, setup: StepSetup): Promise<void> {
  if (existsSync(folder)) return;
  const parameters = initializeParameters(setup.config, makeKey(setup.seed));
  const weights = await Promise.all(
    Object.entries(parameters).map(async ([name, tensor]) => {
      const data = (await tensor.data()) as Float32Array;
      return [name, { shape: tensor.shape, data }] as const;
    }),
  );
  tf.dispose(parameters);
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const save = (name: string, bytes: Uint8Array): void =>
    writeFileSync(join(unfinished, `${name}.safetensors`), bytes);
  save('weights', writeSafetensors(Object.fromEntries(weights)));
  save('batch', writeSafetensors(randomBatch(setup)));
  mkdirSync(dirname(folder), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(unfinished, folder);
}

/** `m.patches`, `m.order`, `m.timestep` and `m.noise` of each modality m. */
function randomBatch({
  config,
  batch,
  maskRatio,
  seed,
}: StepSetup): Record<string, { shape: number[]; data: Float32Array | Int32Array }> {
  const clips = Array.from({ length: batch }, (_, clip) => clip);
  return Object.fromEntries(
    modalities(config).flatMap((m) => {
      const key = fold(makeKey(seed), m);
      const tokens = tokenCount(config, m);
      const shape = [batch, tokens, patchValues(config, m)] as const;
      const masked = tokens - visibleCount(tokens, maskRatio);
      const noised = [batch, masked, targetPatchValues(config, m)] as const;
      const order = clips.flatMap((clip) => [...maskOrder(fold(key, 'mask', clip), tokens)]);
      const timesteps = clips.map((clip) => 1 + ((100 * (clip + 1)) % 1000));
      return [
        [`${m}.patches`, random(fold(key, 'patches'), shape)],
        [`${m}.order`, { shape: [batch, tokens], data: Int32Array.from(order) }],
        [`${m}.timestep`, { shape: [batch], data: Int32Array.from(timesteps) }],
        [`${m}.noise`, random(fold(key, 'noise'), noised)],
      ];
    }),
  );
}

function random(
  key: ReturnType<typeof makeKey>,
  shape: readonly [number, number, number],
): { shape: number[]; data: Float32Array } {
  return { shape: [...shape], data: normals(key, shape[0] * shape[1] * shape[2]) };
}

/** Weights and zero moments on the active backend. */
export function readState(folder: string): TrainState {
  const parameters = toTensors(readTensors(folder, 'weights'));
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(parameters).map(([name, { shape }]) => [name, tf.zeros(shape)]),
    );
  return { parameters, firstMoments: zeros(), secondMoments: zeros() };
}

/** The batch on the active backend. */
export function readBatch(
  folder: string,
  config: ModelConfig,
): Partial<Record<Modality, ModalityInput>> {
  const tensors = readTensors(folder, 'batch');
  return Object.fromEntries(
    modalities(config).map((m) => {
      const of = (name: string): tf.Tensor => toTensor(tensors[`${m}.${name}`]!);
      const timesteps = Array.from(tensors[`${m}.timestep`]!.data as Int32Array);
      const noise = { values: of('noise') };
      return [m, { patches: of('patches'), order: of('order'), timesteps, noise }];
    }),
  );
}

function readTensors(folder: string, name: string): Record<string, SafeTensor> {
  return readSafetensors(readFileSync(join(folder, `${name}.safetensors`)), name);
}

function toTensors(record: Record<string, SafeTensor>): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(record).map(([name, tensor]) => [name, toTensor(tensor)]),
  );
}

function toTensor({ dtype, shape, data }: SafeTensor): tf.Tensor {
  return tf.tensor(data as Float32Array, [...shape], dtype === 'I32' ? 'int32' : 'float32');
}
