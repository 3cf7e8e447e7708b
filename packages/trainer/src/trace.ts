// SPDX-License-Identifier: Apache-2.0
// One training step laid open, for parity with other implementations: weights, patches, masks and noise go in as named tensors,
// losses, embeddings, predictions and every gradient come out. Nothing is drawn here.
import {
  CheckpointError,
  type Precision,
  ShapeError,
  disposeTree,
  valueAndGrads,
} from '@diffmavil/core';
import {
  type MaskRatios,
  type Modality,
  type ModalityInput,
  type ModelConfig,
  type SafeTensor,
  checkParameterShapes,
  modalities,
  pretrainForward,
  tokenCount,
} from '@diffmavil/model';
import * as tf from '@tensorflow/tfjs-core';

export interface TraceRequest {
  readonly config: ModelConfig;
  /**
   * Weights under their names in `model.safetensors`, and for each modality m: `m.patches` [batch, tokens, patchValues],
   * `m.order` int32 [batch, tokens]; with diffusion also `m.timestep` int32 [batch] in 1..T and `m.noise`
   * [batch, masked, targetPatchValues], aligned with order[K..); with an independent second view `m.second_order` int32
   * [batch, K or more]; with a teacher `m.targets` [batch, tokens, targets.width], its features.
   */
  readonly tensors: Readonly<Record<string, SafeTensor>>;
  /** Above 0 and below 1: K = `visibleTokenCount` tokens are visible. */
  readonly maskRatio: MaskRatios;
  /** Arithmetic of matrix products; default `float32`. */
  readonly precision?: Precision;
}

/** A float32 result, row-major. */
export interface TracedTensor {
  readonly dtype: 'F32';
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * Runs one step on the active backend and reads everything back: `loss`, `loss.{audio,video,inter,intra}` (unweighted, those the
 * model has), `m.embedding` [batch, width], `m.prediction` [batch, masked, targetValues] and `grad.<name>` for every weight.
 *
 * @throws CheckpointError for a tensor that is missing or unknown, ShapeError or ConfigError for one that does not fit.
 */
export async function traceStep(request: TraceRequest): Promise<Record<string, TracedTensor>> {
  const { config, maskRatio, precision = 'float32' } = request;
  const { weights, inputs } = sortTensors(request);
  checkParameterShapes(config, weights, { where: 'trace' });
  const parameters = mapValues(weights, toTensor);
  const given: Partial<Record<Modality, ModalityInput>> = {};
  const made: unknown[] = [parameters, given];
  try {
    for (const m of modalities(config)) given[m] = modalityInput(config, m, inputs);
    const { outputs, grads } = valueAndGrads(
      () => pretrainForward(config, parameters, given, maskRatio, { precision }),
      parameters,
    );
    made.push(outputs, grads);
    const results = Object.entries<tf.Tensor>({ ...outputs }).map(
      ([name, tensor]) => [publicName(name), tensor] as const,
    );
    const gradients = Object.entries(grads).map(
      ([name, tensor]) => [`grad.${name}`, tensor] as const,
    );
    const read = [...results, ...gradients].map(async ([name, tensor]) => [
      name,
      await readTensor(tensor),
    ]);
    return Object.fromEntries(await Promise.all(read)) as Record<string, TracedTensor>;
  } finally {
    disposeTree(made);
  }
}

interface SortedTensors {
  readonly weights: Record<string, SafeTensor>;
  readonly inputs: Record<string, SafeTensor>;
}

function sortTensors({ config, tensors }: TraceRequest): SortedTensors {
  const known = new Set(
    modalities(config).flatMap((m) =>
      ['patches', 'order', 'second_order', 'timestep', 'noise', 'targets'].map(
        (part) => `${m}.${part}`,
      ),
    ),
  );
  const entries = Object.entries(tensors);
  return {
    weights: Object.fromEntries(entries.filter(([name]) => !known.has(name))),
    inputs: Object.fromEntries(entries.filter(([name]) => known.has(name))),
  };
}

function modalityInput(
  config: ModelConfig,
  modality: Modality,
  inputs: Readonly<Record<string, SafeTensor>>,
): ModalityInput {
  const get = (part: string): SafeTensor => {
    const tensor = inputs[`${modality}.${part}`];
    if (tensor === undefined) {
      throw new CheckpointError(`trace: expected a tensor named ${modality}.${part}, got none`);
    }
    return tensor;
  };
  const diffused = config.masked.kind === 'diffused';
  const second = config.loss.intraWeight > 0 && config.masking.secondView === 'independent';
  const parts = {
    patches: get('patches'),
    order: get('order'),
    ...(second && { secondOrder: get('second_order') }),
    ...(config.targets.kind === 'teacher' && { targets: get('targets') }),
    ...(diffused && { noise: get('noise') }),
  };
  checkPermutations(parts.order, `trace: ${modality}.order`);
  if (parts.secondOrder !== undefined) {
    const tokens = tokenCount(config, modality);
    checkDistinct(parts.secondOrder, tokens, `trace: ${modality}.second_order`);
  }
  const timesteps = diffused ? Array.from(get('timestep').data, Number) : [];
  // All parts are there: from here on nothing throws, so that no tensor is left behind.
  const { noise, ...tensors } = mapValues(parts, toTensor) as {
    [part in keyof typeof parts]: tf.Tensor;
  };
  return noise === undefined ? tensors : { ...tensors, timesteps, noise: { values: noise } };
}

/** A wrong index would read another clip's tokens on some backends and zeros on others. */
function checkPermutations(order: SafeTensor, where: string): void {
  const tokens = order.shape.at(-1) ?? 0;
  const row = rowOutside(order, tokens);
  if (row === null) return;
  throw new ShapeError(
    `${where}: expected a permutation of 0..${tokens - 1} in each row, got another in row ${row}`,
  );
}

function checkDistinct(order: SafeTensor, tokens: number, where: string): void {
  const row = rowOutside(order, tokens);
  if (row === null) return;
  throw new ShapeError(
    `${where}: expected different tokens of 0..${tokens - 1} in each row, got others in row ${row}`,
  );
}

/** The first row [columns] of indices that repeats one or leaves 0..tokens-1; null when there is none. */
function rowOutside({ shape, data }: SafeTensor, tokens: number): number | null {
  const columns = shape.at(-1) ?? 0;
  const indices = Array.from(data, Number);
  for (let at = 0; at < indices.length; at += columns) {
    const row = new Set(indices.slice(at, at + columns));
    if (row.size < columns || [...row].some((i) => !(i >= 0 && i < tokens))) return at / columns;
  }
  return null;
}

/** 64-bit integers, as Python programs write indices, become int32. */
function toTensor({ dtype, shape, data }: SafeTensor): tf.Tensor {
  if (dtype === 'F32') return tf.tensor(data, [...shape], 'float32');
  return tf.tensor(Int32Array.from(data, Number), [...shape], 'int32');
}

async function readTensor(tensor: tf.Tensor): Promise<TracedTensor> {
  return { dtype: 'F32', shape: tensor.shape, data: Float32Array.from(await tensor.data()) };
}

/** `audioLoss` -> `loss.audio`, `videoEmbedding` -> `video.embedding`. */
function publicName(output: string): string {
  const [, subject = '', what = ''] = /^([a-z]+)([A-Z][a-z]+)$/.exec(output) ?? [];
  if (what === '') return output;
  return what === 'Loss' ? `loss.${subject}` : `${subject}.${what.toLowerCase()}`;
}

function mapValues<T, U>(
  record: Readonly<Record<string, T>>,
  map: (value: T) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
