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
import type { OptimizerConfig, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { createHash } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
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

/** The same as the trainer takes them: a constant rate, nothing clipped. */
export const trainerOptimizer: OptimizerConfig = {
  ...optimizer,
  minLearningRate: 0,
  warmupEpochs: 0,
  clipNorm: null,
  layerDecay: 1,
};

/** Folder with weights.safetensors and batch.safetensors of a setup, below `cache`. */
export function setupFolder(cache: string, setup: StepSetup): string {
  return join(cache, 'steps', hashOf(setup));
}

/** Writes the files, unless they are there, on the active backend. Setups of the same model and seed share the file of weights. */
export async function writeSetup(folder: string, setup: StepSetup): Promise<void> {
  if (existsSync(folder)) return;
  const { config, seed } = setup;
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const weights = join(dirname(folder), `weights-${hashOf({ config, seed })}.safetensors`);
  if (!existsSync(weights)) {
    const written = join(unfinished, 'weights.safetensors');
    writeFileSync(written, await initialWeights(setup));
    renameSync(written, weights);
  }
  linkSync(weights, join(unfinished, 'weights.safetensors'));
  writeFileSync(join(unfinished, 'batch.safetensors'), writeSafetensors(randomBatch(setup)));
  rmSync(folder, { recursive: true, force: true });
  renameSync(unfinished, folder);
}

function hashOf(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

async function initialWeights({ config, seed }: StepSetup): Promise<Uint8Array> {
  const parameters = initializeParameters(config, makeKey(seed));
  const weights = await Promise.all(
    Object.entries(parameters).map(async ([name, tensor]) => {
      const data = (await tensor.data()) as Float32Array;
      return [name, { shape: tensor.shape, data }] as const;
    }),
  );
  tf.dispose(parameters);
  return writeSafetensors(Object.fromEntries(weights));
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

/** The batch on the active backend; `repeats` of it after another. */
export function readBatch(
  folder: string,
  config: ModelConfig,
  repeats: number = 1,
): Partial<Record<Modality, ModalityInput>> {
  const tensors = readTensors(folder, 'batch');
  return Object.fromEntries(
    modalities(config).map((m) => {
      const of = (name: string): tf.Tensor => repeated(toTensor(tensors[`${m}.${name}`]!), repeats);
      const own = Array.from(tensors[`${m}.timestep`]!.data as Int32Array);
      const timesteps = Array.from({ length: repeats }, () => own).flat();
      const noise = { values: of('noise') };
      return [m, { patches: of('patches'), order: of('order'), timesteps, noise }];
    }),
  );
}

/** [clips, …] -> [repeats * clips, …]; consumes its argument. */
function repeated(x: tf.Tensor, repeats: number): tf.Tensor {
  if (repeats === 1) return x;
  const result = tf.concat(Array.from({ length: repeats }, () => x));
  x.dispose();
  return result;
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
