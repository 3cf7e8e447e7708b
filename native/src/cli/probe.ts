// SPDX-License-Identifier: Apache-2.0
// Loads an addon in a process of its own, because a damaged file ends the process that opens it.
import { spawnSync } from 'node:child_process';
import { describeLoadError, mismatch } from '../loader.ts';

/** What a loaded addon says about itself. */
export interface AddonFacts {
  readonly abi: number;
  readonly version: string;
  readonly isa: string;
  readonly threads: number;
}

const program = `
  let found;
  try {
    const { abi, version, isa, threads } = require(process.argv[1]);
    found = { abi, version, isa, threads };
  } catch ({ code, message }) {
    found = { error: { code, message } };
  }
  process.stdout.write(JSON.stringify(found));
`;

/** The facts of the addon in a file, or what is wrong with it. */
export function probeAddon(file: string, environment: NodeJS.ProcessEnv): AddonFacts | string {
  const { status, signal, stdout } = spawnSync(process.execPath, ['-e', program, file], {
    env: environment,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return `damaged: loading it ends a process with ${signal ?? `code ${status}`}`;
  const found = JSON.parse(stdout) as AddonFacts & { error?: NodeJS.ErrnoException };
  if (found.error !== undefined) return describeLoadError(found.error);
  return mismatch(found) ?? found;
}
