// SPDX-License-Identifier: Apache-2.0
// Weights of other projects on disk: a safetensors file, and what lies beside it.
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

import { CheckpointError } from '@diffmavil/core';

import { convertForeign } from '../interop/convert.ts';
import type { ConversionSummary, ConvertedModel } from '../interop/convert.ts';
import type { ForeignFile } from '../interop/foreign-weights.ts';
import type { ConvertOptions } from '../interop/mapping.ts';
import { readSafetensors } from '../safetensors.ts';
import { writeModelFolder } from './model-folder.ts';

/** PyTorch's own formats, which hold programs as well as numbers. */
const pickled = ['.pth', '.pt', '.bin', '.ckpt'];

export interface ConvertRequest extends ConvertOptions {
  /** A safetensors file, or a folder with one; config.json and preprocessor_config.json beside it are read too. */
  readonly file: string;
  /** Folder of the model that is made, replaced if it is there. */
  readonly out: string;
}

/**
 * Makes a model folder of another project's weights; docs/weights.md lists which. Nothing is written when they cannot be
 * converted.
 *
 * @throws CheckpointError, one sentence that names what was expected and found.
 */
export async function convertWeights({
  file,
  out,
  ...options
}: ConvertRequest): Promise<ConversionSummary> {
  const { config, weights, preprocessor, summary } = convertForeign(
    await readForeignFile(file),
    options,
  );
  await writeModelFolder(out, { config, weights, preprocessor });
  return summary;
}

/** `convertForeign` of what is at a path. */
export async function convertFile(path: string): Promise<ConvertedModel> {
  return convertForeign(await readForeignFile(path));
}

/**
 * Reads a safetensors file, or the one in a folder, with the JSON files beside it.
 *
 * @throws CheckpointError for a path without one, with several, or in a format of PyTorch's own.
 */
export async function readForeignFile(path: string): Promise<ForeignFile> {
  const file = await weightsFile(path);
  const folder = dirname(file);
  const [config, preprocessor] = await Promise.all([
    readSettings(join(folder, 'config.json')),
    readSettings(join(folder, 'preprocessor_config.json')),
  ]);
  const tensors = readSafetensors(await readFile(file), file);
  return {
    source: file,
    tensors,
    ...(config && { config }),
    ...(preprocessor && { preprocessor }),
  };
}

async function weightsFile(path: string): Promise<string> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new CheckpointError(
      `weights: expected a safetensors file or a folder with one at ${path}, got ${error.code ?? error.message}`,
      { cause: error },
    );
  });
  if (found.isDirectory()) return onlyFile(path);
  if (pickled.includes(extname(path))) {
    throw new CheckpointError(
      `weights: expected a safetensors file, got ${basename(path)}. ` +
        'Try: save its weights as safetensors, docs/weights.md has the ten lines',
    );
  }
  return path;
}

async function onlyFile(folder: string): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
  const named = files.includes('model.safetensors') ? ['model.safetensors'] : files;
  if (named.length !== 1) {
    const got = named.length === 0 ? 'none' : named.toSorted().join(', ');
    throw new CheckpointError(`weights: expected one safetensors file in ${folder}, got ${got}`);
  }
  return join(folder, named[0] ?? '');
}

/** An object of a JSON file that may be missing. */
async function readSettings(file: string): Promise<Record<string, unknown> | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return null;
  }
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, as for other values that are no object.
  }
  throw new CheckpointError(
    `${file}: expected a JSON object, got ${JSON.stringify(text.slice(0, 32))}`,
  );
}
