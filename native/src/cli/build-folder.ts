// SPDX-License-Identifier: Apache-2.0
// How whatever `diffmavil-native build` builds comes into the user's cache, where it is looked for.
//
// It is built in a folder of its own beside its final place, tried in a process of its own, given its manifest last, and renamed into
// place: whatever ends the build, it is there whole, or the one before is, never half of one.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheFolder, writeManifest } from '../cache.ts';
import type { Part } from '../cache.ts';
import { generator, runCmake } from './cmake.ts';
import { explainFileError } from './failures.ts';
import { takeLock } from './lock.ts';

/** Names in the cache that belong to builds; all begin with `native-`. */
export const lockFile = 'native-build.lock';
const logFile = 'native-build.log';
const temporaryPrefix = 'native-build-';

export interface BuildOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** The folder of CMakeLists.txt. Default: that of this package. */
  readonly sources?: string;
  /** What CMake and the compiler print, as it comes. */
  readonly onOutput?: (text: string) => void;
}

/** What one build is of. */
export interface Recipe<Facts> {
  readonly part: Part;
  /** The folder of CMakeLists.txt. */
  readonly sources: string;
  /** For CMake: what it configures, and the target that makes the part's file. */
  readonly definitions: readonly string[];
  readonly target: string;
  /** How much it takes on the disk while it works, for the error: `20 MB`. */
  readonly room: string;
  /** Tries the file. @throws DeviceError when it is not to be installed. */
  readonly probe: (file: string) => Facts;
}

export interface Built<Facts> {
  readonly facts: Facts;
  readonly place: string;
  readonly sizeBytes: number;
}

/**
 * Builds and installs.
 *
 * @throws DeviceError what is missing, or that another build is going on; the signal's reason when it is raised.
 */
export async function buildPart<Facts>(
  recipe: Recipe<Facts>,
  options: BuildOptions,
): Promise<Built<Facts>> {
  const target = cacheFolder(options.environment, recipe.part);
  const root = dirname(target);
  let unlock: (() => void) | undefined;
  try {
    mkdirSync(root, { recursive: true });
    unlock = takeLock(join(root, lockFile));
    removeLeftovers(root);
    const folder = mkdtempSync(join(root, temporaryPrefix));
    return await buildIn(folder, target, recipe, options);
  } catch (error) {
    if (options.signal.aborted) rmSync(join(root, logFile), { force: true });
    throw explainFileError(error, root, recipe.room);
  } finally {
    if (unlock !== undefined) removeLeftovers(root);
    unlock?.();
  }
}

async function buildIn<Facts>(
  folder: string,
  target: string,
  { part, sources, definitions, target: name, room, probe }: Recipe<Facts>,
  { environment, signal, onOutput = () => undefined }: BuildOptions,
): Promise<Built<Facts>> {
  const [tree, output] = [join(folder, 'tree'), join(folder, 'output')];
  const log = join(dirname(target), logFile);
  rmSync(log, { force: true });
  const run = { environment, signal, log, onOutput, room };
  const [built, more] = [join(folder, 'built'), definitions.map((given) => `-D${given}`)];
  await runCmake(
    [
      '-S',
      sources,
      '-B',
      tree,
      ...generator(environment),
      '-DCMAKE_BUILD_TYPE=Release',
      `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${built}`,
      ...more,
    ],
    { ...run, step: 'configure' },
  );
  const level = environment['CMAKE_BUILD_PARALLEL_LEVEL'] ?? '';
  const jobs = level === '' ? String(availableParallelism()) : level;
  await runCmake(['--build', tree, '--target', name, '--parallel', jobs], {
    ...run,
    step: 'compile',
  });
  mkdirSync(output);
  cpSync(join(built, part.file), join(output, part.file));
  const facts = probe(join(output, part.file));
  signal.throwIfAborted();
  const { sizeBytes } = writeManifest(output, part);
  replaceFolder(output, target, join(folder, 'old'));
  rmSync(log, { force: true });
  return { facts, place: join(target, part.file), sizeBytes };
}

/** A program that has the old file open keeps it: it lives until it is closed. */
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
