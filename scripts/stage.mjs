// SPDX-License-Identifier: Apache-2.0
// What the set-up scripts share: stages that report on one line each, programs whose output is shown only when they fail, and the error
// that is printed as one sentence. Node built-ins only: this runs before anything is installed.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Something a person has to do; printed without a stack. */
export class SetupError extends Error {
  name = 'SetupError';
}

/**
 * Prints `name … 12 s` around `work`, or `name … ready` when `work` returns false: nothing was to be done.
 * @param {string} name
 * @param {() => unknown} work
 */
export async function stage(name, work) {
  process.stderr.write(`${name} … `);
  const startMs = performance.now();
  try {
    const done = await work();
    const seconds = (performance.now() - startMs) / 1000;
    process.stderr.write(
      done === false ? 'ready\n' : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s\n`,
    );
  } catch (error) {
    process.stderr.write('failed\n');
    throw error;
  }
}

/**
 * Runs a program in the repository; its output is kept and becomes part of the error when it fails.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{env?: Record<string, string>, advice?: string}} [options] `advice`: what to try, in the error.
 * @returns {Promise<string>} What it printed.
 */
export async function runQuietly(program, args, { env = {}, advice } = {}) {
  const { code, output } = await new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk) => (output += chunk);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', ({ message }) => resolve({ code: message, output }));
    child.on('close', (exit, signal) => resolve({ code: exit ?? signal, output }));
  });
  if (code === 0) return output;
  const command = [program, ...args].join(' ');
  throw new SetupError(
    [
      output.trim(),
      `setup: expected '${command}' to succeed, got ${code}.${advice ? ` Try: ${advice}` : ''}`,
    ]
      .filter((line) => line !== '')
      .join('\n'),
  );
}

/**
 * Runs a program in the repository on this terminal.
 * @returns {Promise<number>} Its exit code; 1 when a signal ended it.
 */
export function runOpenly(program, args, { env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: 'inherit',
    });
    child.on('error', reject);
    child.on('close', (exit) => resolve(exit ?? 1));
  });
}

/** The first executable of this name on PATH, or null. */
export function findOnPath(program) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const candidate = join(folder, program);
    if (folder !== '' && isExecutable(candidate)) return candidate;
  }
  return null;
}

export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Runs a script's main function; a SetupError is printed as its sentence, exit code 1. */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    process.stderr.write(
      `${error instanceof SetupError ? error.message : (error?.stack ?? error)}\n`,
    );
    process.exitCode = 1;
  }
}
