// SPDX-License-Identifier: Apache-2.0
// Every weight of a model: name, shape, initial distribution. Names and layout are PyTorch's (Linear weight
// [out, in]), so a weight file is read by either side. Parameters in memory are one flat record.
import {
  CheckpointError,
  ConfigError,
  fold,
  formatShape,
  normals,
  uniforms,
} from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { modalities, patchValues, targetValues } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';

/** Weights by name, e.g. `audio_encoder.blocks.0.attn.qkv.weight`. */
export type Parameters = Readonly<Record<string, tf.Tensor>>;

interface Entry {
  readonly name: string;
  readonly shape: number[];
  /** 'xavier': uniform with bound sqrt(6 / (in + out)); a number: normal with that standard deviation. */
  readonly init: 'xavier' | 'zeros' | 'ones' | number;
}

const tokenStd = 0.02;
const headStd = 2e-5;

function linear(name: string, out: number, into: number, init: Entry['init'] = 'xavier'): Entry[] {
  return [
    { name: `${name}.weight`, shape: [out, into], init },
    { name: `${name}.bias`, shape: [out], init: 'zeros' },
  ];
}

function norm(name: string, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [width], init: 'ones' },
    { name: `${name}.bias`, shape: [width], init: 'zeros' },
  ];
}

/** Fused qkv is one xavier matrix [3 width, width], as in MAE and AudioMAE. */
function block(name: string, width: number, hidden: number, attention: Entry[]): Entry[] {
  return [
    ...norm(`${name}.norm1`, width),
    ...attention,
    ...linear(`${name}.attn.proj`, width, width),
    ...norm(`${name}.norm2`, width),
    ...linear(`${name}.mlp.fc1`, hidden, width),
    ...linear(`${name}.mlp.fc2`, width, hidden),
  ];
}

function selfBlock(name: string, width: number, hidden: number): Entry[] {
  return block(name, width, hidden, linear(`${name}.attn.qkv`, 3 * width, width));
}

function crossBlock(name: string, width: number, hidden: number): Entry[] {
  return block(name, width, hidden, [
    ...linear(`${name}.attn.q`, width, width),
    ...linear(`${name}.attn.kv`, 2 * width, width),
  ]);
}

function repeat(depth: number, make: (index: number) => Entry[]): Entry[] {
  return Array.from({ length: depth }, (_, index) => make(index)).flat();
}

function encoderEntries(config: ModelConfig, modality: Modality): Entry[] {
  const { width, depth, mlpRatio, classToken, finalNorm } = config.encoder;
  const name = `${modality}_encoder`;
  return [
    ...linear(`${name}.patch_embed`, width, patchValues(config, modality)),
    ...(classToken ? [{ name: `${name}.cls_token`, shape: [1, 1, width], init: tokenStd }] : []),
    ...repeat(depth, (i) => selfBlock(`${name}.blocks.${i}`, width, width * mlpRatio)),
    ...(finalNorm ? norm(`${name}.norm`, width) : []),
  ];
}

function fusionEntries(config: ModelConfig): Entry[] {
  const { width, mlpRatio } = config.encoder;
  if (config.fusion.kind === 'none') return [];
  return [
    ...repeat(config.fusion.depth, (i) => selfBlock(`fusion.blocks.${i}`, width, width * mlpRatio)),
    ...(config.fusion.finalNorm ? norm('fusion.norm', width) : []),
  ];
}

function decoderEntries(config: ModelConfig, modality: Modality): Entry[] {
  const { width, depth, videoAttention } = config.decoder;
  const values = targetValues(config, modality);
  const name = `${modality}_decoder`;
  const cross = modality === 'video' && videoAttention === 'cross';
  return [
    ...linear(`${name}.embed`, width, config.encoder.width),
    ...(config.masked.kind === 'diffused'
      ? linear(`${name}.noised_embed`, width, values)
      : [{ name: `${name}.mask_token`, shape: [1, 1, width], init: tokenStd }]),
    ...repeat(depth, (i) => decoderBlock(config, modality, `${name}.blocks.${i}`)),
    ...(cross ? norm(`${name}.context_norm`, width) : []),
    ...norm(`${name}.norm`, width),
    ...linear(`${name}.head`, values, width),
  ];
}

function decoderBlock(config: ModelConfig, modality: Modality, name: string): Entry[] {
  const { width, heads, window, audioAttention, videoAttention } = config.decoder;
  const hidden = width * config.encoder.mlpRatio;
  if (modality === 'video') {
    return videoAttention === 'cross'
      ? crossBlock(name, width, hidden)
      : selfBlock(name, width, hidden);
  }
  if (audioAttention === 'global') return selfBlock(name, width, hidden);
  // Choice: the bias starts N(0, 0.02), as Swin's; the papers say nothing.
  const offsets = (2 * window[0] - 1) * (2 * window[1] - 1);
  const bias = { name: `${name}.rel_bias`, shape: [offsets, heads], init: tokenStd };
  return [...selfBlock(name, width, hidden), bias];
}

function headEntries(config: ModelConfig, modality: Modality, classes: number): Entry[] {
  const { width } = config.encoder;
  if (!Number.isInteger(classes) || classes < 1) {
    throw new ConfigError(`classifier: expected a whole number of classes from 1, got ${classes}`);
  }
  return [
    ...norm(`${modality}_head.norm`, width),
    // AudioMAE truncates at +-2 absolute, 100000 standard deviations, so a plain normal is the same.
    ...linear(`${modality}_head.linear`, classes, width, headStd),
  ];
}

function pretrainEntries(config: ModelConfig): Entry[] {
  const present = modalities(config);
  return [
    ...present.flatMap((modality) => encoderEntries(config, modality)),
    ...fusionEntries(config),
    ...present.flatMap((modality) => decoderEntries(config, modality)),
  ];
}

/** Name and shape of every weight of the pre-training model, in forward order. */
export function parameterShapes(config: ModelConfig): Record<string, number[]> {
  return shapesOf(pretrainEntries(config));
}

/** Name and shape of every weight of a classifier: one encoder and its head. */
export function classifierShapes(
  config: ModelConfig,
  modality: Modality,
  classes: number,
): Record<string, number[]> {
  return shapesOf([...encoderEntries(config, modality), ...headEntries(config, modality, classes)]);
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
  modality: Modality,
  classes: number,
  key: Key,
): Record<string, tf.Tensor> {
  return drawAll(headEntries(config, modality, classes), key);
}

function drawAll(entries: readonly Entry[], key: Key): Record<string, tf.Tensor> {
  return Object.fromEntries(
    entries.map((entry) => [entry.name, tf.tensor(draw(entry, key), entry.shape, 'float32')]),
  );
}

function draw({ name, shape, init }: Entry, key: Key): Float32Array {
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
  return Object.fromEntries(entries.map(({ name, shape }) => [name, shape]));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
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
    classes === null ? [] : modalities(config).flatMap((m) => headEntries(config, m, classes));
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
