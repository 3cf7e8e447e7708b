// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native build --cuda`: the device library of `diffmavil-cuda`, from the sources in this package into the user's cache.
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { DeviceError } from '@diffmavil/core';
import { libraryPart } from '../cache.ts';
import { packageFolder } from '../platform.ts';
import { buildPart } from './build-folder.ts';
import type { BuildOptions } from './build-folder.ts';
import { probeLibrary } from './probe.ts';
import type { LibraryFacts } from './probe.ts';
import { usedAddon } from './where.ts';

/** Compute capabilities that are built by default, as `--arch` names them. */
export const architectures: readonly string[] = ['80', '90a', '100'];

/** Whether the kernels can be built for it: any compute capability from 8.0 on, as nvcc writes it ("86", "90a", "120f"); nvcc may know fewer. */
export function isArchitecture(name: string): boolean {
  return /^\d{2,3}[af]?$/.test(name) && Number.parseInt(name, 10) >= 80;
}

const usualCompiler = '/usr/local/cuda/bin/nvcc';

export interface CudaBuildOptions extends BuildOptions {
  /** The only one to build for, as `isArchitecture` wants it. */
  readonly architecture?: string;
  /** The addon that tries the library, or null: then nobody does. Default: the one that programs use. */
  readonly addonFile?: string | null;
}

export interface BuiltLibrary {
  readonly place: string;
  readonly sizeBytes: number;
  /** What the addon finds with it; null where there is no addon to try it. */
  readonly facts: LibraryFacts | null;
}

/**
 * Builds and installs the device library.
 *
 * @throws DeviceError what is missing, or that another build is going on; the signal's reason when it is raised.
 */
export async function buildLibrary(options: CudaBuildOptions): Promise<BuiltLibrary> {
  const compiler = findNvcc(options.environment);
  const { addonFile = usedAddon(options.environment) } = options;
  const chosen = options.architecture === undefined ? architectures : [options.architecture];
  const recipe = {
    part: libraryPart,
    sources: options.sources ?? join(packageFolder, 'cuda'),
    definitions: [
      'DIFFMAVIL_CUDA=ON',
      `DIFFMAVIL_CUDA_ARCHITECTURES=${chosen.map((name) => `${name}-real`).join(';')}`,
      `CMAKE_CUDA_COMPILER=${compiler}`,
    ],
    target: 'diffmavil_cuda',
    room: '100 MB',
    probe: (file: string): LibraryFacts | null => {
      if (addonFile === null) return null;
      const facts = probeLibrary(file, addonFile, options.environment);
      if (typeof facts === 'string')
        throw new DeviceError(
          `build: expected a device library that loads, got one that does not: ${facts}`,
        );
      return facts;
    },
  };
  return buildPart(recipe, options);
}

/** The CUDA compiler: what CUDACXX says, else nvcc on PATH or where NVIDIA puts it. @throws DeviceError where there is none. */
export function findNvcc(environment: NodeJS.ProcessEnv, usual: string = usualCompiler): string {
  const given = environment['CUDACXX'] ?? '';
  const places = given === '' ? [...onPath('nvcc', environment), usual] : named(given, environment);
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  const where = given === '' ? `on PATH or as ${usual}` : `as CUDACXX says: ${given}`;
  throw new DeviceError(
    `build: expected nvcc, got none ${where}. Try: install NVIDIA's CUDA toolkit 13, or CUDACXX=<its nvcc>`,
  );
}

const named = (name: string, environment: NodeJS.ProcessEnv): string[] =>
  name.includes('/') ? [resolve(name)] : onPath(name, environment);

function onPath(name: string, environment: NodeJS.ProcessEnv): string[] {
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name));
}
