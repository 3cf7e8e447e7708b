// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native build | where | clean`. Exit codes: 0, 1 (failed), 2 (bad usage), 128 + n (ended by signal n).
import { constants } from 'node:os';
import { DiffmavilError } from '@diffmavil/core';
import { platformName, version } from '../platform.ts';
import { cudaMode, isGpuVisible } from '../cuda/library.ts';
import { architectures, buildLibrary, isArchitecture } from './build-cuda.ts';
import { buildAddon } from './build.ts';
import { cleanCache } from './clean.ts';
import type { LibraryFacts } from './probe.ts';
import { lookEverywhere, lookForLibrary } from './where.ts';

const usage = `diffmavil-native: the native addon of @diffmavil/native, and the device library of its backend diffmavil-cuda

  diffmavil-native where              the places where both are looked for, and what is there
  diffmavil-native build [--verbose]  builds the addon into the cache
  diffmavil-native build --cuda [--arch <capability>] [--verbose]
                                      builds the device library into the cache: for ${architectures.map((name) => `sm_${name}`).join(', ')}, or
                                      for one compute capability, as nvidia-smi --query-gpu=compute_cap tells it (8.9: --arch 89)
  diffmavil-native clean              removes what build has written

build needs cmake and a C++20 compiler (Debian: apt-get install cmake g++ make), and some minutes; with --cuda nvcc as well, and many. The
cache is $XDG_CACHE_HOME/diffmavil, else ~/.cache/diffmavil.`;

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
  const options = readBuildOptions(args);
  if (typeof options === 'string') {
    terminal.stderr(`diffmavil-native build: ${options}\n`);
    return 2;
  }
  const interruption = watchSignals();
  const startMs = performance.now();
  try {
    const { place, sizeBytes, facts } = await buildChosen(options, terminal, interruption.signal);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    const size = (sizeBytes / 1e6).toFixed(1);
    terminal.stdout(`${place}\n`);
    terminal.stderr(`built in ${seconds} s, ${size} MB; here it ${facts}\n`);
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

interface ChosenBuild {
  readonly cuda: boolean;
  readonly architecture: string | undefined;
  readonly verbose: boolean;
}

/** The options, or what is wrong with them. */
function readBuildOptions(args: readonly string[]): ChosenBuild | string {
  const cuda = args.includes('--cuda');
  const at = args.indexOf('--arch');
  const [architecture, value] = at < 0 ? [] : [args[at + 1] ?? '', at + 1];
  const wrong = args.find((option, i) => {
    if (option === '--arch') return !cuda || i !== at;
    return i !== value && option !== '--verbose' && option !== '--cuda';
  });
  if (wrong !== undefined) return `expected --verbose, --cuda or --cuda --arch, got '${wrong}'`;
  if (architecture !== undefined && !isArchitecture(architecture))
    return `expected --arch to be a compute capability from 80 on, such as ${architectures.join(', ')} or 120, got '${architecture}'`;
  return { cuda, architecture, verbose: args.includes('--verbose') };
}

interface ChosenResult {
  readonly place: string;
  readonly sizeBytes: number;
  /** The end of `here it …`. */
  readonly facts: string;
}

async function buildChosen(
  { cuda, architecture, verbose }: ChosenBuild,
  { environment, stderr }: Terminal,
  signal: AbortSignal,
): Promise<ChosenResult> {
  const options = { environment, signal, onOutput: verbose ? stderr : () => undefined };
  if (!cuda) {
    stderr('building the addon; this takes some minutes\n');
    const built = await buildAddon(options);
    return { ...built, facts: `uses ${built.isa}` };
  }
  stderr('building the device library; this takes many minutes\n');
  const built = await buildLibrary(
    architecture === undefined ? options : { ...options, architecture },
  );
  const facts =
    built.facts === null
      ? 'was not tried, for want of an addon. Try: npx diffmavil-native build'
      : describeDevices(built.facts);
  return { ...built, facts };
}

const describeDevices = ({ count, problem }: LibraryFacts): string =>
  count > 0 ? `finds ${count} ${count === 1 ? 'device' : 'devices'}` : `finds none: ${problem}`;

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

function where(terminal: Terminal): number {
  const { stdout, environment } = terminal;
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
  const used = places.find((place) => place.used)?.place ?? null;
  if (used === null && places.length > 0)
    stdout(
      'Try: npm install --include=optional @diffmavil/native, or npx diffmavil-native build (cmake, a C++20 compiler)\n',
    );
  if (process.platform === 'linux' && places.length > 0) whereIsLibrary(terminal, used);
  return used === null ? 1 : 0;
}

/** The device library, which a machine without a GPU goes without: nothing is to be done about it there. */
function whereIsLibrary({ stdout, environment }: Terminal, addonPlace: string | null): void {
  stdout('the device library of diffmavil-cuda\n');
  if (cudaMode(environment) === 'off') {
    stdout('  switched off by DIFFMAVIL_CUDA=off\n');
    return;
  }
  const places = lookForLibrary(environment, addonPlace);
  for (const { source, place, found, used } of places)
    stdout(`  ${source.padEnd(16)} ${place}: ${describeLibrary(found, used)}\n`);
  if (isGpuVisible() && !places.some(({ used }) => used))
    stdout(
      'Try: npm install @diffmavil/native-linux-x64-cuda, or npx diffmavil-native build --cuda (nvcc)\n',
    );
}

function describeLibrary(found: LibraryFacts | string | null, used: boolean): string {
  if (found === null) return 'there, and no addon to try it';
  if (typeof found !== 'string') return `${used ? 'used' : 'loads'}, ${describeDevices(found)}`;
  return used ? `used, and does not load: ${found}` : found;
}

function clean({ stdout, environment }: Terminal): number {
  const removed = cleanCache(environment);
  stdout(
    removed.length === 0 ? 'nothing to remove\n' : removed.map((path) => `${path}\n`).join(''),
  );
  return 0;
}
