// SPDX-License-Identifier: Apache-2.0
// Loads an addon, or a device library, in a process of its own, because a damaged file ends the process that opens it.
import { spawnSync } from 'node:child_process';
import { describeLoadError, mismatch } from '../loader.ts';

/** What a loaded addon says about itself. */
export interface AddonFacts {
  readonly abi: number;
  readonly version: string;
  readonly isa: string;
  readonly threads: number;
}

/** What a device library finds. */
export interface LibraryFacts {
  readonly count: number;
  /** Why there is no device, in the library's words. */
  readonly problem: string | null;
}

const addonProgram = `
    const { abi, version, isa, threads } = require(process.argv[1]);
    found = { abi, version, isa, threads };`;

const libraryProgram = `
    found = require(process.argv[1]).countDevices(process.argv[2]);`;

/** The facts of the addon in a file, or what is wrong with it. */
export function probeAddon(file: string, environment: NodeJS.ProcessEnv): AddonFacts | string {
  const found = probe(addonProgram, [file], environment) as AddonFacts | string;
  return typeof found === 'string' ? found : (mismatch(found) ?? found);
}

/** What the addon finds with a device library, or what is wrong with that. */
export function probeLibrary(
  library: string,
  addon: string,
  environment: NodeJS.ProcessEnv,
): LibraryFacts | string {
  return probe(libraryProgram, [addon, library], environment) as LibraryFacts | string;
}

/** What `statements` find in a process of their own, or what is wrong. */
function probe(
  statements: string,
  files: readonly string[],
  environment: NodeJS.ProcessEnv,
): object | string {
  const program = `
  let found;
  try {${statements}
  } catch ({ code, message }) {
    found = { error: { code, message } };
  }
  process.stdout.write(JSON.stringify(found));
`;
  const { status, signal, stdout } = spawnSync(process.execPath, ['-e', program, ...files], {
    env: environment,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return `damaged: loading it ends a process with ${signal ?? `code ${status}`}`;
  const found = JSON.parse(stdout) as { error?: NodeJS.ErrnoException };
  if (found.error === undefined) return found;
  // What the addon itself says is a sentence already.
  return found.error.code?.startsWith('DM_') ? found.error.message : describeLoadError(found.error);
}
