// SPDX-License-Identifier: Apache-2.0
// Finds the device library, and says what devices there are. Nothing is opened before it is asked for.
//
// Order: DIFFMAVIL_CUDA=off (none); DIFFMAVIL_CUDA_PATH (that file or nothing); a local build; the library beside the addon; the package.
import { DeviceError } from '@diffmavil/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { Addon } from '../binding.ts';
import { findAddon } from '../loader.ts';
import { packageFolder, platformName } from '../platform.ts';

export const libraryFile = 'libdiffmavil_cuda.so';

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
    const places = libraryPlaces(environment, addonPlace);
    const place = places.find((file) => existsSync(file));
    if (place === undefined) {
      return none(
        `cuda: expected ${libraryFile}, got none at ${places.join(' or ')}. ` +
          'Try: npm install @diffmavil/native-linux-x64-cuda, or in a checkout npm run build:cuda',
      );
    }
    const { count, problem } = addon.countDevices(place);
    return count > 0
      ? { place, devices: count, problem: null, visible }
      : none(problem ?? 'cuda: expected a GPU, got none', place);
  } catch (error) {
    return none((error as Error).message);
  }
}

/** The files to look for, in order. */
function libraryPlaces(environment: NodeJS.ProcessEnv, addonPlace: string | null): string[] {
  const forced = environment['DIFFMAVIL_CUDA_PATH'] ?? '';
  if (forced !== '') return [resolve(forced)];
  const places = [join(packageFolder, 'build-cuda', 'device', libraryFile)];
  if (addonPlace !== null && existsSync(addonPlace)) {
    places.push(join(dirname(addonPlace), libraryFile));
  }
  const packaged = packagedLibrary();
  return packaged === null ? places : [...places, packaged];
}

/** The library of the platform's package, where that is installed. */
function packagedLibrary(): string | null {
  try {
    const name = `@diffmavil/native-${platformName()}-cuda/package.json`;
    return join(dirname(createRequire(import.meta.url).resolve(name)), libraryFile);
  } catch {
    return null;
  }
}

/** Whether the driver of a GPU is at work, usable by us or not: asked of the system's files, so that a machine without one stays silent. */
function isGpuVisible(): boolean {
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
