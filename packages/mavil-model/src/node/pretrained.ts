// SPDX-License-Identifier: Apache-2.0
// DiffMavil with file loading: the same class, plus fromPretrained.
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import * as tf from '@tensorflow/tfjs-core';

import { checkParts, DiffMavil as BrowserDiffMavil } from '../diffmavil.ts';
import type { DiffMavilParts } from '../diffmavil.ts';
import { convertFile } from './foreign-file.ts';
import { loadModelFolder } from './model-folder.ts';
import type { ModelFolder } from './model-folder.ts';

/** A loaded model (see '@diffmavil/model'), which can also be read from a model folder or from another project's weights. */
export class DiffMavil extends BrowserDiffMavil {
  /** A model of weights at hand. Throws CheckpointError when weights or preprocessor do not fit the configuration. */
  static override fromParameters(parts: DiffMavilParts): DiffMavil {
    return new DiffMavil(checkParts(parts, 'DiffMavil.fromParameters'));
  }

  /**
   * Reads config.json, model.safetensors and preprocessor.json of a folder; or the safetensors file of another project
   * (or a folder with one), converted in memory as `convertWeights` would. Throws CheckpointError naming the file at fault.
   */
  static async fromPretrained(path: string): Promise<DiffMavil> {
    const own = ownFolder(path);
    return new DiffMavil(own === null ? await loadForeign(path) : await loadModelFolder(own));
  }
}

/** The model folder that a path names, or null when weights of another project are meant. */
function ownFolder(path: string): string | null {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  const folder = isFile ? dirname(path) : path;
  // Hugging Face's folders have a config.json and a model.safetensors as well.
  if (existsSync(join(folder, 'preprocessor.json'))) return folder;
  return isFile || existsSync(join(folder, 'model.safetensors')) ? null : folder;
}

async function loadForeign(path: string): Promise<ModelFolder> {
  const { config, weights, preprocessor } = await convertFile(path);
  const parameters = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [
      name,
      tf.tensor(data, [...shape], 'float32'),
    ]),
  );
  return { config, parameters, preprocessor };
}
