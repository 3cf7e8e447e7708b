// SPDX-License-Identifier: Apache-2.0
// Files of weights and clips for the suites that step a model. A batch of more than 16 clips repeats those of the files, which would not fit on a small
// disk otherwise.
import { presets } from '@diffmavil/model';
import type { PresetName } from '@diffmavil/model';
import { existsSync } from 'node:fs';
import { BenchError } from '../bench-error.ts';
import { cache, startSide } from '../sides.ts';
import type { SideSetup } from '../sides.ts';
import { setupFolder } from '../step-setup.ts';
import type { StepSetup } from '../step-setup.ts';
import type { SuiteOptions } from './rows.ts';

const mostClips = 16;

/** What is stepped, and by how many threads. */
export interface StepFiles extends Omit<SideSetup, 'precision'> {
  readonly setup: StepSetup;
  readonly repeats: number;
}

/** Writes the files where they are missing, on the processor. @throws BenchError for a batch above 16 clips that is no multiple of 16. */
export async function stepFiles(
  preset: PresetName,
  batch: number,
  maskRatio: number,
  { threads }: SuiteOptions,
): Promise<StepFiles> {
  const clips = Math.min(batch, mostClips);
  const repeats = batch / clips;
  if (!Number.isInteger(repeats)) {
    throw new BenchError(`bench: expected up to 16 clips or a multiple of 16, got ${batch}`);
  }
  const setup = { config: presets[preset], batch: clips, maskRatio, seed: 1 };
  const files = { folder: setupFolder(cache, setup), setup, repeats, threads };
  if (!existsSync(files.folder)) {
    const writer = startSide('diffmavil-cpu', { ...files, precision: 'float32' }, true);
    await writer.ask();
    await writer.stop();
  }
  return files;
}
