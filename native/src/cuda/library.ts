// SPDX-License-Identifier: Apache-2.0
// Finds the device library, and says what devices there are. Nothing is opened before it is asked for.
//
// Order: DIFFMAVIL_CUDA=off (none); DIFFMAVIL_CUDA_PATH (that file or nothing); a local build; the library beside the addon; the user's build
// cache (`diffmavil-native build --cuda`), whose manifest is checked first; the package of the platform.
import { DeviceError } from '@diffmavil/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { Addon } from '../binding.ts';
import { cacheFolder, cachedProblem, libraryFile, libraryPart } from '../cache.ts';
import { describeLoadError, findAddon } from '../loader.ts';
import { packageFolder, platformName, version } from '../platform.ts';

const require = createRequire(import.meta.url);

/** A place to look at: a file, or the name of a package. */
export interface LibraryPlace {
  readonly source: 'DIFFMAVIL_CUDA_PATH' | 'local build' | 'beside the addon' | 'cache' | 'package';
  readonly place: string;
}

/** The file of a place, or what can be known to be wrong with it without loading it. */
export type LibraryFile = { readonly file: string } | { readonly problem: string };

/** What DIFFMAVIL_CUDA may say: never a GPU; one where there is one (the default); one or an error. */
export const cudaModes = ['off', 'auto', 'require'] as const;
export type CudaMode = (typeof cudaModes)[number];

/** What is there for `registerCuda`. */
export interface CudaSearch {
  /** The device library that is used, or null. */
  readonly place: string | null;
  /** How many devices it finds. */
  readonly devices: number;
  /** Why there is none, in one sentence; null when there is one. */
  readonly problem: string | null;
  /** Whether the machine shows a GPU, usable or not. */
  readonly visible: boolean;
}

/**
 * The mode that the environment asks for.
 *
 * @throws DeviceError when DIFFMAVIL_CUDA is none of them.
 */
export function cudaMode(environment: NodeJS.ProcessEnv = process.env): CudaMode {
  const mode = environment['DIFFMAVIL_CUDA'] ?? '';
  if (mode === '') return 'auto';
  if (!cudaModes.includes(mode as CudaMode)) {
    throw new DeviceError(
      `cuda: expected DIFFMAVIL_CUDA to be off, auto or require, got '${mode}'`,
    );
  }
  return mode as CudaMode;
}

/**
 * Whether steps may be run as CUDA graphs: where that is faster, or never. DIFFMAVIL_CUDA_SYNC=1, which has each op waited for, does not go with
 * graphs.
 *
 * @throws DeviceError when DIFFMAVIL_CUDA_GRAPHS says something else.
 */
export function cudaGraphs(environment: NodeJS.ProcessEnv = process.env): 'auto' | 'off' {
  const mode = environment['DIFFMAVIL_CUDA_GRAPHS'] ?? '';
  const waits = !['', '0'].includes(environment['DIFFMAVIL_CUDA_SYNC'] ?? '');
  if (mode === '' || mode === 'auto') return waits ? 'off' : 'auto';
  if (mode === 'off') return 'off';
  throw new DeviceError(`cuda: expected DIFFMAVIL_CUDA_GRAPHS to be auto or off, got '${mode}'`);
}

let found: CudaSearch | undefined;

/** Looks for the library and for devices, once per thread; never throws. */
export function findCuda(): CudaSearch {
  found ??= searchCuda(process.env);
  return found;
}

/** The search itself, under the given environment; not remembered. */
export function searchCuda(environment: NodeJS.ProcessEnv): CudaSearch {
  const visible = isGpuVisible();
  const none = (problem: string, place: string | null = null): CudaSearch => ({
    place,
    devices: 0,
    problem,
    visible,
  });
  try {
    if (cudaMode(environment) === 'off') {
      return none('cuda: expected a GPU, got DIFFMAVIL_CUDA=off. Try: unset DIFFMAVIL_CUDA');
    }
    const { addon, place: addonPlace } = findAddon();
    if (addon === null) {
      return none('cuda: expected the native addon, got none. Try: diffmavil-native where');
    }
    const attempts: string[] = [];
    let file: string | undefined;
    for (const place of libraryPlaces(environment, addonPlace)) {
      const found = libraryAt(place);
      if ('file' in found) {
        file = found.file;
        break;
      }
      attempts.push(explainPlace(place, found.problem));
    }
    if (file === undefined) return none(explainNone(attempts));
    const { count, problem } = addon.countDevices(file);
    return count > 0
      ? { place: file, devices: count, problem: null, visible }
      : none(problem ?? 'cuda: expected a GPU, got none', file);
  } catch (error) {
    return none((error as Error).message);
  }
}

/** The places to look at, in order. @param addonPlace Where the addon is from. @param folder The package, for its local build. */
export function libraryPlaces(
  environment: NodeJS.ProcessEnv,
  addonPlace: string | null,
  folder: string = packageFolder,
): LibraryPlace[] {
  const forced = environment['DIFFMAVIL_CUDA_PATH'] ?? '';
  if (forced !== '') return [{ source: 'DIFFMAVIL_CUDA_PATH', place: resolve(forced) }];
  const places: LibraryPlace[] = [
    { source: 'local build', place: join(folder, 'build-cuda', 'device', libraryFile) },
  ];
  if (addonPlace !== null && isAbsolute(addonPlace))
    places.push({ source: 'beside the addon', place: join(dirname(addonPlace), libraryFile) });
  places.push(
    { source: 'cache', place: join(cacheFolder(environment, libraryPart), libraryFile) },
    { source: 'package', place: `@diffmavil/native-${platformName()}-cuda` },
  );
  return places;
}

/** What is at a place. */
export function libraryAt({ source, place }: LibraryPlace): LibraryFile {
  if (source === 'package') return packagedLibrary(place);
  if (!existsSync(place)) return { problem: 'not found' };
  const problem = source === 'cache' ? cachedProblem(place, libraryPart) : null;
  return problem === null ? { file: place } : { problem };
}

/** The library of the platform's package, which is of the same version. Literal names, so that bundlers see them. */
function packagedLibrary(name: string): LibraryFile {
  if (name !== '@diffmavil/native-linux-x64-cuda')
    return { problem: `no package is made for ${platformName()}` };
  try {
    const manifest = require('@diffmavil/native-linux-x64-cuda/package.json') as {
      readonly version: string;
    };
    return manifest.version === version
      ? { file: require.resolve('@diffmavil/native-linux-x64-cuda') }
      : { problem: `expected version ${version}, got ${manifest.version}` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { problem: code === 'MODULE_NOT_FOUND' ? 'not installed' : describeLoadError(error) };
  }
}

/** A place, and what is wrong with it where that is more than that nothing is there. */
function explainPlace({ place }: LibraryPlace, problem: string): string {
  return ['not found', 'not installed'].includes(problem) ? place : `${place} (${problem})`;
}

function explainNone(attempts: readonly string[]): string {
  return (
    `cuda: expected ${libraryFile}, got none at ${attempts.join(' or ')}. ` +
    'Try: npm install @diffmavil/native-linux-x64-cuda, or npx diffmavil-native build --cuda (nvcc; in a checkout npm run build:cuda)'
  );
}

/** Whether the driver of a GPU is at work, usable by us or not: asked of the system's files, so that a machine without one stays silent. */
export function isGpuVisible(): boolean {
  return ['/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg'].some((file) => existsSync(file));
}

/** The library and the addon to open a device with. @throws DeviceError with what is missing. */
export function requireCuda(): { readonly addon: Addon; readonly library: string } {
  const { place, problem } = findCuda();
  const { addon } = findAddon();
  if (place === null || problem !== null || addon === null) {
    throw new DeviceError(problem ?? 'cuda: expected a device library, got none');
  }
  return { addon, library: place };
}
