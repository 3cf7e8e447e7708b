// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native build`: the addon, from the sources in this package into the user's cache, where the loader looks.
//
// It is built in a folder of its own beside its final place, tried in a process of its own, given its manifest last, and renamed into
// place: whatever ends the build, a complete addon or the one before is there, never half of one.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { DeviceError } from '@diffmavil/core';
import { addonFile, cacheFolder, writeManifest } from '../cache.ts';
import { packageFolder } from '../platform.ts';
import { generator, nodeApiHeaders, runCmake } from './cmake.ts';
import { explainFileError } from './failures.ts';
import { takeLock } from './lock.ts';
import { probeAddon } from './probe.ts';
import type { AddonFacts } from './probe.ts';

/** Names in the cache that belong to builds; all begin with `native-`. */
export const lockFile = 'native-build.lock';
const logFile = 'native-build.log';
const temporaryPrefix = 'native-build-';

export interface BuildOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** The folder of CMakeLists.txt. Default: this package. */
  readonly sources?: string;
  /** What CMake and the compiler print, as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface BuiltAddon extends AddonFacts {
  readonly place: string;
  readonly sizeBytes: number;
}

/**
 * Builds and installs the addon.
 *
 * @throws DeviceError what is missing, or that another build is going on; the signal's reason when it is raised.
 */
export async function buildAddon(options: BuildOptions): Promise<BuiltAddon> {
  const target = cacheFolder(options.environment);
  const root = dirname(target);
  let unlock: (() => void) | undefined;
  try {
    mkdirSync(root, { recursive: true });
    unlock = takeLock(join(root, lockFile));
    removeLeftovers(root);
    const folder = mkdtempSync(join(root, temporaryPrefix));
    return await buildIn(folder, target, options);
  } catch (error) {
    if (options.signal.aborted) rmSync(join(root, logFile), { force: true });
    throw explainFileError(error, root);
  } finally {
    if (unlock !== undefined) removeLeftovers(root);
    unlock?.();
  }
}

async function buildIn(folder: string, target: string, options: BuildOptions): Promise<BuiltAddon> {
  const { environment, signal, onOutput = () => undefined } = options;
  const [tree, output] = [join(folder, 'tree'), join(folder, 'addon')];
  const log = join(dirname(target), logFile);
  rmSync(log, { force: true });
  const run = { environment, signal, log, onOutput };
  await runCmake(
    [
      '-S',
      options.sources ?? packageFolder,
      '-B',
      tree,
      ...generator(environment),
      '-DCMAKE_BUILD_TYPE=Release',
      `-DCMAKE_JS_INC=${nodeApiHeaders()}`,
      `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(folder, 'built')}`,
    ],
    { ...run, step: 'configure' },
  );
  const level = environment['CMAKE_BUILD_PARALLEL_LEVEL'] ?? '';
  const jobs = level === '' ? String(availableParallelism()) : level;
  await runCmake(['--build', tree, '--target', 'diffmavil', '--parallel', jobs], {
    ...run,
    step: 'compile',
  });
  mkdirSync(output);
  cpSync(join(folder, 'built', addonFile), join(output, addonFile));
  const facts = probeAddon(join(output, addonFile), environment);
  if (typeof facts === 'string')
    throw new DeviceError(`build: expected an addon that loads, got one that does not: ${facts}`);
  signal.throwIfAborted();
  const { sizeBytes } = writeManifest(output);
  replaceFolder(output, target, join(folder, 'old'));
  rmSync(log, { force: true });
  return { ...facts, place: join(target, addonFile), sizeBytes };
}

/** A program that has the old addon open keeps it: its file lives until it is closed. */
function replaceFolder(from: string, to: string, aside: string): void {
  try {
    renameSync(to, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  renameSync(from, to);
}

/** Folders of this build and of builds that were killed; to be called under the lock. */
function removeLeftovers(root: string): void {
  for (const name of readdirSync(root)) {
    if (name.startsWith(temporaryPrefix))
      rmSync(join(root, name), { recursive: true, force: true, maxRetries: 5 });
  }
}
