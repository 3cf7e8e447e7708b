// SPDX-License-Identifier: Apache-2.0
// The weights of a model as one flat record: their shapes, their initial values, the check of what a file brings.
// Which there are is in parameter-entries.ts.
import { CheckpointError, fold, formatShape, normals, uniforms } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { modalities } from './config.ts';
import type { ModelConfig } from './config.ts';
import { classifierEntries, headEntries, pretrainEntries } from './parameter-entries.ts';
import type { ClassifierInput, Entry } from './parameter-entries.ts';

/** Weights by name, e.g. `audio_encoder.blocks.0.attn.qkv.weight`. */
export type Parameters = Readonly<Record<string, tf.Tensor>>;

/** Name and shape of every weight of the pre-training model, in forward order. */
export function parameterShapes(config: ModelConfig): Record<string, number[]> {
  return shapesOf(pretrainEntries(config));
}

/** Name and shape of every weight of a classifier: its encoder, or both and the fusion, and its head. */
export function classifierShapes(
  config: ModelConfig,
  input: ClassifierInput,
  classes: number,
): Record<string, number[]> {
  return shapesOf(classifierEntries(config, input, classes));
}

/** Weights in the module whose names start with `prefix` and a dot; all of them without a prefix. */
export function parameterCount(config: ModelConfig, prefix: string = ''): number {
  return pretrainEntries(config)
    .filter(({ name }) => prefix === '' || name.startsWith(`${prefix}.`))
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/**
 * Draws every weight; a weight's values depend on the key and its name alone. Linear xavier-uniform, biases 0,
 * LayerNorm 1 and 0, class and mask tokens N(0, 0.02) [MAE, AudioMAE]. The caller disposes the record.
 */
export function initializeParameters(config: ModelConfig, key: Key): Record<string, tf.Tensor> {
  return drawAll(pretrainEntries(config), key);
}

/** Draws a classification head: LayerNorm 1 and 0, linear N(0, 2e-5), bias 0 [AudioMAE fine-tuning]. */
export function initializeHead(
  config: ModelConfig,
  input: ClassifierInput,
  classes: number,
  key: Key,
): Record<string, tf.Tensor> {
  return drawAll(headEntries(config, input, classes), key);
}

/** Draws every weight of a classifier, as `initializeParameters` and `initializeHead` would, or those that `wanted` picks by name. */
export function initializeClassifier(
  config: ModelConfig,
  input: ClassifierInput,
  classes: number,
  key: Key,
  wanted: (name: string) => boolean = () => true,
): Record<string, tf.Tensor> {
  const entries = classifierEntries(config, input, classes);
  return drawAll(
    entries.filter(({ name }) => wanted(name)),
    key,
  );
}

function drawAll(entries: readonly Entry[], key: Key): Record<string, tf.Tensor> {
  return Object.fromEntries(
    entries.map((entry) => [entry.name, tf.tensor(draw(entry, key), [...entry.shape], 'float32')]),
  );
}

function draw({ name, shape, init }: Entry, key: Key): Float32Array {
  // A copy: the table is shared, and a backend may keep the array it is given.
  if (typeof init === 'function') return init().slice();
  const count = sizeOf(shape);
  if (init === 'zeros') return new Float32Array(count);
  if (init === 'ones') return new Float32Array(count).fill(1);
  const own = fold(key, 'parameters', name);
  if (init === 'xavier') {
    const bound = Math.sqrt(6 / ((shape[0] ?? 1) + (shape[1] ?? 1)));
    return uniforms(own, count).map((u) => (2 * u - 1) * bound);
  }
  return normals(own, count).map((n) => n * init);
}

function shapesOf(entries: readonly Entry[]): Record<string, number[]> {
  return Object.fromEntries(entries.map(({ name, shape }) => [name, [...shape]]));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** What a classifier of this model can read. */
function classifierInputs(config: ModelConfig): ClassifierInput[] {
  const present = modalities(config);
  return present.length === 2 ? [...present, 'both'] : present;
}

/** The module a weight belongs to: `audio_encoder` of `audio_encoder.blocks.0.norm1.weight`. */
export function moduleOf(name: string): string {
  return name.slice(0, Math.max(0, name.indexOf('.')));
}

/**
 * Checks names and shapes of `given` against a model. Whole modules may be absent (a classifier carries no
 * decoder); a module that is present must be complete. `classes` is the number of labels, if there are any.
 * Throws CheckpointError naming what is missing, unknown or of the wrong shape.
 */
export function checkParameterShapes(
  config: ModelConfig,
  given: Readonly<Record<string, { readonly shape: readonly number[] }>>,
  { classes = null, where }: { classes?: number | null; where: string },
): void {
  const heads =
    classes === null
      ? []
      : classifierInputs(config).flatMap((m) => headEntries(config, m, classes));
  const expected = shapesOf([...pretrainEntries(config), ...heads]);
  const present = new Set(Object.keys(given).map(moduleOf));
  if (!modalities(config).some((modality) => present.has(`${modality}_encoder`))) {
    throw new CheckpointError(`${where}: expected the weights of an encoder, got none`);
  }
  const missing = Object.keys(expected).filter(
    (n) => present.has(moduleOf(n)) && !Object.hasOwn(given, n),
  );
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(expected, name));
  const faults = [
    ...(missing.length > 0 ? [`missing ${listed(missing)}`] : []),
    ...(unknown.length > 0 ? [`unknown ${listed(unknown)}`] : []),
    ...Object.entries(given).flatMap(([name, { shape }]) => {
      const wanted = expected[name];
      if (wanted === undefined || formatShape(wanted) === formatShape(shape)) return [];
      return [`${name} of shape ${formatShape(shape)} instead of ${formatShape(wanted)}`];
    }),
  ];
  if (faults.length > 0) {
    throw new CheckpointError(
      `${where}: expected the weights of this model, got ${faults.join('; ')}. ` +
        'Try: the config.json that was saved with these weights',
    );
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 4).join(', ');
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}
