// SPDX-License-Identifier: Apache-2.0
// Runs CMake: everything it prints goes to a log file, and its process group ends when the caller gives up.
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { DeviceError } from '@diffmavil/core';
import { explainOutput } from './failures.ts';

export interface CmakeRun {
  /** For the error: `configure`, `compile`. */
  readonly step: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: string;
  /** How much the build takes on the disk, for the error. */
  readonly room: string;
  readonly signal: AbortSignal;
  readonly onOutput: (text: string) => void;
}

/** Runs `cmake` with these arguments. @throws DeviceError with the cause; the reason of `signal` when that is raised. */
export async function runCmake(args: readonly string[], run: CmakeRun): Promise<void> {
  run.signal.throwIfAborted();
  const child = spawn('cmake', args, {
    // A group of its own, so that compilers end with it. Messages in English, since causes are found by their words.
    detached: process.platform !== 'win32',
    env: { ...run.environment, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  run.signal.addEventListener('abort', end, { once: true });
  let output = '';
  const keep = (chunk: Buffer): void => {
    const text = chunk.toString();
    output += text;
    run.onOutput(text);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | string>((resolve) => {
    child.on('error', ({ message }) => resolve(message));
    child.on('close', (exit, signal) => resolve(exit ?? signal ?? 'no exit code'));
  });
  run.signal.removeEventListener('abort', end);
  run.signal.throwIfAborted();
  if (code === 0) return keepLog(run.log, output);
  if (child.pid === undefined) {
    throw new DeviceError(
      'build: expected cmake, got none on PATH. Try: apt-get install cmake, or brew install cmake',
    );
  }
  keepLog(run.log, output);
  throw explainOutput({ output, code, step: run.step, log: run.log, room: run.room });
}

/** A full disk is told by what failed, not by the log of it. */
function keepLog(log: string, output: string): void {
  try {
    appendFileSync(log, output);
  } catch {
    // Nowhere to write it.
  }
}

/** The folder of node_api.h: the small package of Node's headers, else those of this Node's installation. */
export function nodeApiHeaders(): string {
  const installed = join(dirname(dirname(process.execPath)), 'include', 'node');
  try {
    const headers = createRequire(import.meta.url)('node-api-headers') as { include_dir: string };
    if (existsSync(join(headers.include_dir, 'node_api.h'))) return headers.include_dir;
  } catch {
    // Left out of node_modules: look at the installation.
  }
  if (existsSync(join(installed, 'node_api.h'))) return installed;
  throw new DeviceError(
    `build: expected node_api.h of the package node-api-headers or in ${installed}, got neither. Try: npm install node-api-headers`,
  );
}

/** Ninja where there is one: it uses all cores by itself and shows how far it is. */
export function generator(environment: NodeJS.ProcessEnv): string[] {
  if ((environment['CMAKE_GENERATOR'] ?? '') !== '') return [];
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => existsSync(join(folder, 'ninja'))) ? ['-G', 'Ninja'] : [];
}
