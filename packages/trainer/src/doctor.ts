// SPDX-License-Identifier: Apache-2.0
// What `diffmavil doctor` finds: one line per thing the program needs or can use, a mark, and what to do about what is missing.
import type { Machine } from './machine.ts';

/** `missing`: something does not work without it. `note`: everything works, this is how. */
export type Mark = 'ok' | 'missing' | 'note';

export interface Finding {
  readonly name: string;
  readonly mark: Mark;
  readonly found: string;
  /** What to do; null when there is nothing to do. */
  readonly advice: string | null;
  /** Whether nothing useful works while it is missing. */
  readonly required: boolean;
}

/** By backend: whether it started, and what it runs on, or why it did not and what its error says to do. */
export type BackendOutcomes = Readonly<
  Record<
    string,
    { readonly starts: boolean; readonly found: string; readonly advice?: string | null }
  >
>;

/** The first line of an error as a row shows it: what is wrong, and what follows its `Try:`, or null. */
export function readProblem(message: string): { found: string; advice: string | null } {
  const [found = '', advice = null] = message.split('\n', 1)[0]!.split(/ Try: (.*)/, 2);
  return { found: found.replace(/\.$/, ''), advice };
}

const gigabyte = 1e9;
/** Choice: weights, two checkpoints with optimizer state and a few hundred decoded clips of the small presets fit. */
const comfortableDiskBytes = 5 * gigabyte;
const nativeAdvice =
  'npm install @diffmavil/native, then npx diffmavil-native build (cmake, g++, make); in a checkout npm run build:native';
const ffmpegAdvice = 'apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path';

/** Judges the facts, in the order they are printed. */
export function diagnose(machine: Machine, backends: BackendOutcomes): Finding[] {
  return [
    node(machine),
    ...packages(machine),
    ...Object.entries(backends).map(([name, outcome]) => backend(name, outcome)),
    cpu(machine),
    gpu(machine),
    ...ffmpeg(machine),
    disk(machine),
  ];
}

/** Whether everything required is there. */
export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ mark, required }) => mark !== 'missing' || !required);
}

function node({ node: { version, oldest } }: Machine): Finding {
  const [have, need] = [version, oldest].map((text) => text.split('.').map(Number));
  const difference = need!.map((part, i) => (have![i] ?? 0) - part).find((part) => part !== 0) ?? 0;
  return difference >= 0
    ? ok('node', version, true)
    : missing('node', `${version}, older than ${oldest}`, 'install a current Node', true);
}

function packages({ packages: versions }: Machine): Finding[] {
  const absent = Object.keys(versions).filter((name) => versions[name] === null);
  const own = Object.entries(versions).filter(([name]) => name.startsWith('@diffmavil/'));
  const different = new Set(own.map(([, version]) => version)).size > 1;
  const text = own
    .map(([name, version]) => `${name.slice('@diffmavil/'.length)} ${version ?? 'none'}`)
    .join(', ');
  const tfjs = versions['@tensorflow/tfjs-core'];
  return [
    ...absent.map((name) => missing(name, 'not installed', `npm install ${name}`, true)),
    different
      ? note('diffmavil', text, 'npm install the same version of each')
      : ok('diffmavil', text, true),
    ...(tfjs == null ? [] : [ok('tfjs', tfjs, true)]),
  ];
}

function backend(name: string, { starts, found, advice }: BackendOutcomes[string]): Finding {
  if (starts) return ok(`backend ${name}`, found, name === 'cpu');
  if (name === 'diffmavil-cpu') return note(`backend ${name}`, found, nativeAdvice);
  if (name.startsWith('diffmavil-')) return note(`backend ${name}`, found, advice ?? null);
  return missing(`backend ${name}`, found, 'npm install', name === 'cpu');
}

function cpu({ cpu: { model, cores, instructions }, memoryBytes }: Machine): Finding {
  const memory = `${(memoryBytes / gigabyte).toFixed(1)} GB of memory`;
  const sets = instructions === null ? 'instruction sets unknown' : instructions.join(' ');
  return ok('cpu', `${model}, ${cores} cores, ${memory}, ${sets}`, false);
}

function gpu({ gpus }: Machine): Finding {
  if (gpus === null) return note('gpu', 'none visible (no nvidia-smi)', null);
  if ('error' in gpus) return note('gpu', `none visible (${gpus.error})`, null);
  return note('gpu', gpus.join('; '), null);
}

function ffmpeg({ ffmpeg: facts }: Machine): Finding[] {
  if ('error' in facts) {
    const { found } = readProblem(facts.error.replace('findFfmpeg: ', ''));
    return [missing('ffmpeg', found, ffmpegAdvice, true)];
  }
  const part = (name: string, there: boolean, use: string, advice: string): Finding =>
    there ? ok(name, 'there', false) : missing(name, `not in this ffmpeg: ${use}`, advice, false);
  return [
    ok('ffmpeg', facts.ffmpeg, true),
    ok('ffprobe', facts.ffprobe, true),
    part('libx264', facts.h264, 'demo-data cannot write clips', 'a full build of ffmpeg'),
    part('aac', facts.aac, 'demo-data cannot write sound', 'a full build of ffmpeg'),
    facts.soxr
      ? ok('soxr', 'there', false)
      : note('soxr', "not in this ffmpeg: sound is resampled with ffmpeg's own filter", null),
  ];
}

function disk({ freeDiskBytes }: Machine): Finding {
  const text = `${(freeDiskBytes / gigabyte).toFixed(1)} GB free in this folder`;
  return freeDiskBytes >= comfortableDiskBytes
    ? ok('disk', text, false)
    : note(
        'disk',
        text,
        'checkpoints and decoded clips may need more: choose --out on a larger disk',
      );
}

function ok(name: string, found: string, required: boolean): Finding {
  return { name, mark: 'ok', found, advice: null, required };
}

function note(name: string, found: string, advice: string | null): Finding {
  return { name, mark: 'note', found, advice, required: false };
}

function missing(name: string, found: string, advice: string, required: boolean): Finding {
  return { name, mark: 'missing', found, advice, required };
}
