// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native build | where | clean`. Exit codes: 0, 1 (failed), 2 (bad usage), 128 + n (ended by signal n).
import { constants } from 'node:os';
import { DiffmavilError } from '@diffmavil/core';
import { platformName, version } from '../platform.ts';
import { buildAddon } from './build.ts';
import { cleanCache } from './clean.ts';
import { lookEverywhere } from './where.ts';

const usage = `diffmavil-native: the native addon of @diffmavil/native

  diffmavil-native where              the places where an addon is looked for, and what is there
  diffmavil-native build [--verbose]  builds it into the cache
  diffmavil-native clean              removes what build has written

build needs cmake and a C++20 compiler (Debian: apt-get install cmake g++ make), and some minutes. The cache is
$XDG_CACHE_HOME/diffmavil, else ~/.cache/diffmavil.`;

/** Where a command prints. */
export interface Terminal {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly environment: NodeJS.ProcessEnv;
}

const thisProcess: Terminal = {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  environment: process.env,
};

/** Runs a command line. @param args Without the program's name. @returns The exit code. */
export async function main(
  args: readonly string[],
  terminal: Terminal = thisProcess,
): Promise<number> {
  const [name = '', ...rest] = args;
  if (name === '' || name === 'help' || args.includes('--help')) {
    terminal.stdout(`${usage}\n`);
    return name === '' ? 2 : 0;
  }
  try {
    if (name === 'build') return await build(rest, terminal);
    if (name === 'where' && rest.length === 0) return where(terminal);
    if (name === 'clean' && rest.length === 0) return clean(terminal);
    terminal.stderr(
      `diffmavil-native: expected build, where or clean, got '${args.join(' ')}'. Try: diffmavil-native --help\n`,
    );
    return 2;
  } catch (error) {
    if (!(error instanceof DiffmavilError)) throw error;
    terminal.stderr(`diffmavil-native ${error.message}\n`);
    return 1;
  }
}

async function build(args: readonly string[], terminal: Terminal): Promise<number> {
  const wrong = args.find((option) => option !== '--verbose');
  if (wrong !== undefined) {
    terminal.stderr(`diffmavil-native build: expected --verbose, got '${wrong}'\n`);
    return 2;
  }
  const interruption = watchSignals();
  terminal.stderr('building the addon; this takes some minutes\n');
  const startMs = performance.now();
  try {
    const { place, isa, sizeBytes } = await buildAddon({
      environment: terminal.environment,
      signal: interruption.signal,
      onOutput: args.length > 0 ? terminal.stderr : () => undefined,
    });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    const size = (sizeBytes / 1e6).toFixed(1);
    terminal.stdout(`${place}\n`);
    terminal.stderr(`built in ${seconds} s, ${size} MB; here it uses ${isa}\n`);
    return 0;
  } catch (error) {
    const { name } = interruption;
    if (name === null) throw error;
    terminal.stderr(`diffmavil-native build: interrupted by ${name}, nothing was installed\n`);
    return 128 + constants.signals[name];
  } finally {
    interruption.stop();
  }
}

interface Interruption {
  readonly signal: AbortSignal;
  name: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | null;
  stop: () => void;
}

/** While it is watched, a signal does not end the process but the work that it interrupts. */
function watchSignals(): Interruption {
  const controller = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const watched: Interruption = { signal: controller.signal, name: null, stop: () => undefined };
  const handlers = names.map((name) => {
    const handler = (): void => {
      watched.name = name;
      controller.abort();
    };
    process.on(name, handler);
    return () => process.off(name, handler);
  });
  watched.stop = () => {
    for (const remove of handlers) remove();
  };
  return watched;
}

function where({ stdout, environment }: Terminal): number {
  stdout(`@diffmavil/native ${version} for ${platformName()}, Node ${process.version}\n`);
  const places = lookEverywhere(environment);
  if (places.length === 0) stdout('  switched off by DIFFMAVIL_NATIVE=off\n');
  for (const { source, place, found, used } of places) {
    const facts =
      typeof found === 'string'
        ? found
        : `${used ? 'used' : 'loads'}: ${found.isa}, ${found.threads} threads`;
    stdout(`  ${source.padEnd(12)} ${place}: ${facts}\n`);
  }
  if (places.some(({ used }) => used)) return 0;
  if (places.length > 0)
    stdout(
      'Try: npm install --include=optional @diffmavil/native, or npx diffmavil-native build (cmake, a C++20 compiler)\n',
    );
  return 1;
}

function clean({ stdout, environment }: Terminal): number {
  const removed = cleanCache(environment);
  stdout(
    removed.length === 0 ? 'nothing to remove\n' : removed.map((path) => `${path}\n`).join(''),
  );
  return 0;
}
