// SPDX-License-Identifier: Apache-2.0
// A model folder: config.json, model.safetensors, preprocessor.json. Written beside and renamed, so a folder
// that exists is whole.
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { CheckpointError, ConfigError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { defineModel } from '../config.ts';
import type { ModelConfig, PartialModelConfig } from '../config.ts';
import { checkParts } from '../diffmavil.ts';
import { checkParameterShapes } from '../parameters.ts';
import type { Parameters } from '../parameters.ts';
import { checkPreprocessor } from '../preprocessor.ts';
import type { Preprocessor } from '../preprocessor.ts';
import { readSafetensors, writeSafetensors } from '../safetensors.ts';
import type { WritableTensor } from '../safetensors.ts';

export interface ModelFolder {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  readonly preprocessor: Preprocessor;
}

/**
 * Reads a model folder; the caller disposes `parameters`.
 * Throws CheckpointError naming the file that is missing, damaged, or does not fit the others.
 */
export async function loadModelFolder(folder: string): Promise<ModelFolder> {
  const configFile = join(folder, 'config.json');
  const config = parseConfig(await readJson(configFile), configFile);
  const preprocessorFile = join(folder, 'preprocessor.json');
  const preprocessor = checkPreprocessor(
    await readJson(preprocessorFile),
    config,
    preprocessorFile,
  );
  const weightsFile = join(folder, 'model.safetensors');
  const stored = readSafetensors(await read(weightsFile), weightsFile);
  const integers = Object.entries(stored).filter(([, { dtype }]) => dtype !== 'F32');
  for (const [name, { dtype }] of integers) {
    throw new CheckpointError(
      `${weightsFile}: expected float weights, got ${name} of type ${dtype}`,
    );
  }
  const classes = preprocessor.labels?.length ?? null;
  checkParameterShapes(config, stored, { classes, where: weightsFile });
  const parameters = Object.fromEntries(
    Object.entries(stored).map(([name, { data, shape }]) => [
      name,
      tf.tensor(data as Float32Array, [...shape], 'float32'),
    ]),
  );
  return { config, parameters, preprocessor };
}

/**
 * Writes a model folder, replacing one that is there: the new folder is complete before it takes the name.
 * Throws CheckpointError when the parts do not fit each other.
 */
export async function saveModelFolder(folder: string, parts: ModelFolder): Promise<void> {
  const { config, parameters, preprocessor } = checkParts(parts, 'saveModelFolder');
  const weights: Record<string, WritableTensor> = {};
  for (const [name, tensor] of Object.entries(parameters)) {
    weights[name] = { shape: tensor.shape, data: await tensor.data<'float32'>() };
  }
  await writeModelFolder(folder, { config, weights, preprocessor });
}

/** `saveModelFolder` of plain arrays that fit each other. */
export async function writeModelFolder(
  folder: string,
  {
    config,
    weights,
    preprocessor,
  }: Omit<ModelFolder, 'parameters'> & {
    readonly weights: Readonly<Record<string, WritableTensor>>;
  },
): Promise<void> {
  const target = resolve(folder);
  await mkdir(dirname(target), { recursive: true });
  const beside = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
  try {
    await writeFile(join(beside, 'config.json'), toJson(config));
    await writeFile(join(beside, 'preprocessor.json'), toJson(preprocessor));
    await writeFile(join(beside, 'model.safetensors'), writeSafetensors(weights, { format: 'pt' }));
    await replaceFolder(beside, target);
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

/** Renaming onto a folder that is not empty fails, so an old one steps aside first. */
async function replaceFolder(made: string, target: string): Promise<void> {
  const old = `${made}-old`;
  const hadOld = await rename(target, old).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await rename(made, target);
  } catch (error) {
    if (hadOld) await rename(old, target);
    throw error;
  }
  if (hadOld) await rm(old, { recursive: true, force: true });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CheckpointError(
      `model folder: expected a readable file ${file}, got ${code ?? String(error)}`,
      { cause: error },
    );
  }
}

async function readJson(file: string): Promise<unknown> {
  const text = new TextDecoder().decode(await read(file));
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new CheckpointError(`${file}: expected JSON, got ${JSON.stringify(text.slice(0, 32))}`, {
      cause: error,
    });
  }
}

/** What the configurations of Hugging Face and timm begin with, and ours never has. */
const foreignKeys = ['model_type', 'architectures', 'architecture'];

function parseConfig(value: unknown, file: string): ModelConfig {
  if (typeof value === 'object' && value !== null && foreignKeys.some((key) => key in value)) {
    throw new CheckpointError(
      `${file}: expected the configuration of a diffmavil model, got one of another project. ` +
        `Try: diffmavil convert --in ${dirname(file)}`,
    );
  }
  try {
    return defineModel(value as PartialModelConfig);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(`${file}: ${error.message}`, { cause: error });
  }
}
