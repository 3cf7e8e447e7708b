// SPDX-License-Identifier: Apache-2.0
// DiffMavil with file loading: the same class, plus fromPretrained.
import { checkParts, DiffMavil as BrowserDiffMavil } from '../diffmavil.ts';
import type { DiffMavilParts } from '../diffmavil.ts';
import { loadModelFolder } from './model-folder.ts';

/** A loaded model (see '@diffmavil/model'), which can also be read from a model folder. */
export class DiffMavil extends BrowserDiffMavil {
  /** A model of weights at hand. Throws CheckpointError when weights or preprocessor do not fit the configuration. */
  static override fromParameters(parts: DiffMavilParts): DiffMavil {
    return new DiffMavil(checkParts(parts, 'DiffMavil.fromParameters'));
  }

  /** Reads config.json, model.safetensors and preprocessor.json of a folder. Throws CheckpointError naming the file at fault. */
  static async fromPretrained(folder: string): Promise<DiffMavil> {
    return new DiffMavil(await loadModelFolder(folder));
  }
}
