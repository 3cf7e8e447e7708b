// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- ops | train-step | memory | curriculum | products | host-step | all [options]`: see bench/README.md. Tables go to standard output, progress to the error
// stream, figures to bench/results.
import type { Precision } from '@diffmavil/core';
import { presets } from '@diffmavil/model';
import type { PresetName } from '@diffmavil/model';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BenchError } from './bench-error.ts';
import { backendNames, useBackend } from './backends.ts';
import { measureCeilings } from './ceilings.ts';
import type { Ceilings } from './ceilings.ts';
import { benchCurriculum, curriculumTable, quarterModel } from './curriculum.ts';
import { benchHostStep, hostStepTable } from './host-step.ts';
import { provenance, root } from './machine.ts';
import { benchMemory, memorySummary } from './memory.ts';
import { benchOps, opsTable } from './ops.ts';
import { benchProducts, productsTable } from './products.ts';
import { figure, saveResults } from './report.ts';
import type { Results } from './report.ts';
import { trainStepTables } from './train-step-report.ts';
import { benchTrainStep } from './train-step.ts';
import type { Side } from './sides.ts';

const kinds = [
  'ops',
  'train-step',
  'memory',
  'curriculum',
  'products',
  'host-step',
  'all',
] as const;
const sides = ['diffmavil-cpu', 'wasm', 'PyTorch eager', 'PyTorch compile'] as const;
/** As typed: `eager` for `PyTorch eager`. */
const sideNames: Record<string, Side> = Object.fromEntries(
  sides.map((side) => [side.replace('PyTorch ', ''), side]),
);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    'allow-busy': { type: 'boolean', default: false },
    'no-save': { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string' },
    backends: { type: 'string', default: backendNames.join() },
    only: { type: 'string', default: '' },
    presets: { type: 'string' },
    precisions: { type: 'string', default: 'float32,bfloat16' },
    sides: { type: 'string', default: 'diffmavil-cpu,eager,compile' },
    batch: { type: 'string', default: '2' },
    'mask-ratio': { type: 'string', default: '0.8' },
    'profile-steps': { type: 'string', default: '3' },
    steps: { type: 'string' },
  },
});

const log = (line: string): void => void process.stderr.write(`${line}\n`);
const quick = values.quick;
const threads = whole('threads', values.threads);

try {
  const [kind = 'all'] = positionals;
  if (!(kinds as readonly string[]).includes(kind)) {
    throw new BenchError(`bench: expected ${kinds.join(' or ')}, got '${kind}'`);
  }
  const ceilings = ['memory', 'curriculum', 'host-step'].includes(kind)
    ? null
    : measureCeilings(threads);
  if (ceilings !== null) log(describeCeilings(ceilings));
  const wanted = (name: string): boolean => kind === name || kind === 'all';
  if (wanted('ops')) await ops(ceilings);
  if (wanted('train-step')) await trainStep(ceilings);
  if (wanted('memory')) await memory();
  if (wanted('curriculum')) await curriculum();
  // oneDNN is not everywhere, nor is the emulated device.
  if (kind === 'products') await products(ceilings);
  if (kind === 'host-step') await hostStep();
} catch (error) {
  if (!(error instanceof Error && 'kind' in error)) throw error;
  log(error.message);
  process.exitCode = 1;
}

async function ops(ceilings: Ceilings | null): Promise<void> {
  const head = await provenance(threads, ceilings, { allowBusy: values['allow-busy'] });
  const results = await benchOps({
    backends: list('backends', values.backends, backendNames),
    threads,
    sampling: {
      rounds: whole('rounds', values.rounds ?? (quick ? '2' : '15')),
      minTurnMs: quick ? 0 : 5,
      budgetMs: quick ? 100 : 5000,
      minRounds: quick ? 1 : 3,
    },
    capMs: quick ? 50 : 2000,
    share: quick ? 1 / 16 : 1,
    only: values.only,
    ceilings,
    log,
  });
  finish('ops', { ...head, results }, opsTable(results, ceilings));
}

async function trainStep(ceilings: Ceilings | null): Promise<void> {
  const head = await provenance(threads, ceilings, { allowBusy: values['allow-busy'] });
  const names = Object.keys(presets) as PresetName[];
  const groups = await benchTrainStep({
    presets: list('presets', values.presets ?? (quick ? 'tiny' : 'small,base'), names),
    precisions: list<Precision>('precisions', values.precisions, ['float32', 'bfloat16']),
    sides: list('sides', values.sides, Object.keys(sideNames)).map((name) => sideNames[name]!),
    batch: whole('batch', values.batch),
    maskRatio: Number(values['mask-ratio']),
    threads,
    rounds: whole('rounds', values.rounds ?? (quick ? '2' : '15')),
    turnMs: quick ? 10 : 1000,
    profileSteps: Number(values['profile-steps']),
    log,
  });
  finish('train-step', { ...head, groups }, trainStepTables(groups, ceilings));
}

async function products(ceilings: Ceilings | null): Promise<void> {
  const head = await provenance(threads, ceilings, { allowBusy: values['allow-busy'] });
  const rounds = whole('rounds', values.rounds ?? (quick ? '1' : '15'));
  const result = await benchProducts({ threads, rounds });
  finish('products', { ...head, ...result }, productsTable(result));
}

async function hostStep(): Promise<void> {
  const head = await provenance(1, null, { allowBusy: values['allow-busy'] });
  const names = Object.keys(presets) as PresetName[];
  const results = await benchHostStep({
    presets: list('presets', values.presets ?? (quick ? 'tiny' : 'small,base'), names),
    precisions: list<Precision>('precisions', values.precisions, ['float32', 'bfloat16']),
    batch: whole('batch', values.batch),
    maskRatio: Number(values['mask-ratio']),
    steps: whole('steps', values.steps ?? (quick ? '4' : '60')),
    log,
  });
  finish('host-step', { ...head, results }, hostStepTable(results));
}

async function memory(): Promise<void> {
  const head = await provenance(threads, null, { allowBusy: values['allow-busy'] });
  const [backend = 'diffmavil-cpu'] = list('backends', values.backends, backendNames);
  const [preset = 'small'] = list(
    'presets',
    values.presets ?? (quick ? 'tiny' : 'small'),
    Object.keys(presets) as PresetName[],
  );
  const result = await benchMemory({
    preset,
    backend,
    batch: whole('batch', values.batch),
    threads,
    steps: whole('steps', values.steps ?? (quick ? '10' : '1000')),
    every: quick ? 1 : 10,
    collect: true,
    log,
  });
  finish('memory', { ...head, result }, memorySummary(result));
}

async function curriculum(): Promise<void> {
  const head = await provenance(threads, null, { allowBusy: values['allow-busy'] });
  const [backend = 'diffmavil-cpu'] = list('backends', values.backends, backendNames);
  await useBackend(backend, threads);
  const sizes = quick
    ? { model: presets.tiny, epochs: 3, clipsPerEpoch: 4, batch: 2 }
    : { model: quarterModel, epochs: 60, clipsPerEpoch: 16, batch: 8 };
  const rounds = whole('rounds', values.rounds ?? (quick ? '1' : '3'));
  const results = await benchCurriculum({ ...sizes, rounds, log });
  finish('curriculum', { ...head, backend, ...sizes, results }, curriculumTable(results));
}

function finish(what: string, results: Results, text: string): void {
  process.stdout.write(`\n${text}\n`);
  if (quick || values['no-save']) return;
  log(`\nsaved ${saveResults(join(root, 'bench/results'), what, results)}`);
}

function describeCeilings({ float32GflopPerS, bfloat16GflopPerS, triadGBPerS }: Ceilings): string {
  return `ceilings with ${threads} threads: float32 ${figure(float32GflopPerS)} GFLOP/s, bfloat16 ${figure(bfloat16GflopPerS)} GFLOP/s, triad ${figure(triadGBPerS)} GB/s`;
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new BenchError(`bench: expected --${name} to be a whole number of 1 or more, got ${text}`);
}

function list<Name extends string>(name: string, text: string, known: readonly Name[]): Name[] {
  const names = text.split(',');
  const stranger = names.find((one) => !(known as readonly string[]).includes(one));
  if (stranger === undefined) return names as Name[];
  throw new BenchError(`bench: expected --${name} of ${known.join(', ')}, got '${stranger}'`);
}
