// SPDX-License-Identifier: Apache-2.0
// All suites of the backend on a GPU, each unit in a process of its own, into one JSON record: started by native/run-node-suites-on-gpu.sh, which says
// what it needs. What is not run has a row that says why.
import { DeviceError } from '@diffmavil/core';
import type { Precision } from '@diffmavil/core';
import { presets } from '@diffmavil/model';
import type { PresetName } from '@diffmavil/model';
import { findCuda, loadAddon } from '@diffmavil/native';
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { BenchError } from '../bench-error.ts';
import { benchPython } from '../python.ts';
import { peakOfDevice } from './peaks.ts';
import {
  command,
  describeMachine,
  mergeRows,
  readPacked,
  readSameRun,
  writeRecord,
} from './record.ts';
import type { GpuRecord } from './record.ts';
import { suiteNames } from './rows.ts';
import type { Row, SuiteName, SuiteOptions, Unit } from './rows.ts';
import { runUnit } from './run-unit.ts';
import { suites } from './suites.ts';
import { targetRows } from './targets.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'gpu-suites.json' },
    suites: { type: 'string', default: suiteNames.join() },
    backend: { type: 'string', default: 'diffmavil-cuda' },
    emulated: { type: 'boolean', default: false },
    'not-run': { type: 'string' },
    check: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '9.5' },
    presets: { type: 'string' },
    precisions: { type: 'string', default: 'bfloat16,float32' },
    batches: { type: 'string' },
    'mask-ratios': { type: 'string' },
    steps: { type: 'string' },
    rounds: { type: 'string' },
  },
});
const { emulated } = values;

try {
  if (values.check) checkLoads();
  else await main();
} catch (error) {
  if (!(error instanceof BenchError || error instanceof DeviceError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const wanted = list('suites', values.suites, suiteNames);
  const machine = describeMachine();
  const reason = values['not-run'] ?? null;
  const options = readOptions(machine.device, reason === null && wanted.includes('compare'));
  const units = suiteNames.flatMap((name) => suites[name].plan(options));
  const head = recordHead(machine, options, reason);
  const earlier = readSameRun(values.out, { ...head, rows: [] });
  const rowsOf = new Map<Unit, readonly Row[]>(
    units.map((unit) => [unit, notRun(unit, reason ?? whyLeftOut(unit, wanted))]),
  );
  const save = (): readonly Row[] => {
    const rows = mergeRows([...rowsOf.values()].flat(), earlier?.rows ?? []).filter(
      ({ suite }) => suite !== 'targets',
    );
    const all = [...rows, ...targetRows(rows, machine.device)];
    writeRecord(values.out, { ...head, rows: all });
    return all;
  };
  save();

  const deadline = performance.now() + 60_000 * number('minutes', values.minutes);
  // In the order that was asked for: the last ones have what time is left.
  const inOrder = wanted.flatMap((name) => units.filter(({ suite }) => suite === name));
  for (const unit of reason === null ? inOrder : []) {
    const leftSeconds = (deadline - performance.now()) / 1000;
    const rows =
      leftSeconds < 5
        ? notRun(unit, 'no time was left for it')
        : await runUnit(unit, options, Math.min(unit.limitSeconds, leftSeconds), (row) => {
            const others = rowsOf.get(unit)!.filter(({ name }) => name !== row.name);
            rowsOf.set(unit, [...others, row]);
            save();
          });
    rowsOf.set(unit, rows);
    save();
    for (const row of rows) process.stdout.write(`${line(row)}\n`);
  }
  const rows = save();
  for (const row of rows.filter(({ suite }) => suite === 'targets')) {
    process.stdout.write(`${line(row)}\n`);
  }
  process.stdout.write(`${summary(rows)}; record: ${values.out}\n`);
  process.exitCode = reason !== null || rows.some(({ state }) => state === 'failed') ? 1 : 0;
}

/** That the addon and the device library of DIFFMAVIL_CUDA_PATH are of these sources, as far as loading them shows. */
function checkLoads(): void {
  loadAddon();
  if (process.env['DIFFMAVIL_CUDA_PATH'] === undefined) return;
  const { devices, problem } = findCuda();
  if (devices > 0 || problem?.includes('a GPU and its driver') === true) return;
  throw new BenchError(`bench: expected the device library to load, got: ${problem}`);
}

/** @param compares whether PyTorch is needed; loading it to see takes seconds. */
function readOptions(device: string | null, compares: boolean): SuiteOptions {
  const small = (real: string, dry: string): string => (emulated ? dry : real);
  const numbers = (text: string): number[] => text.split(',').map((one) => number('list', one));
  return {
    backend: values.backend,
    emulated,
    presets: list<PresetName>(
      'presets',
      values.presets ?? small('small,base', 'tiny'),
      Object.keys(presets) as PresetName[],
    ),
    precisions: list<Precision>('precisions', values.precisions, ['bfloat16', 'float32']),
    batches: numbers(values.batches ?? small('64,32,16,128', '2')),
    maskRatios: numbers(values['mask-ratios'] ?? small('0.8,0.9', '0.8')),
    steps: number('steps', values.steps ?? small('200', '1')),
    rounds: number('rounds', values.rounds ?? small('9', '1')),
    turnMs: emulated ? 0 : 500,
    threads: 2,
    noTorch: compares ? whyNoTorch() : 'no comparison was asked for',
    peak: device === null || emulated ? null : peakOfDevice(device),
  };
}

function whyNoTorch(): string | null {
  const python = benchPython();
  const { status, error, stderr } = spawnSync(python, ['-c', 'import torch'], { encoding: 'utf8' });
  if (status === 0) return null;
  const got = error?.message ?? stderr.trim().split('\n').at(-1) ?? `exit code ${status}`;
  return `expected ${python} to have PyTorch, got ${got}`;
}

function recordHead(
  machine: GpuRecord['machine'],
  { backend, peak }: SuiteOptions,
  reason: string | null,
): Omit<GpuRecord, 'rows'> {
  const { commit, dirty } = readPacked();
  return {
    command,
    date: new Date().toISOString().slice(0, 10),
    commit,
    dirty,
    backend,
    emulated,
    state: reason === null ? 'run' : 'not run',
    ...(reason !== null && { reason }),
    machine,
    peak: peak && { source: 'data sheet, dense, without sparsity', operationsPerSecond: peak },
  };
}

function whyLeftOut({ suite }: Unit, wanted: readonly SuiteName[]): string {
  return wanted.includes(suite)
    ? 'the run ended before it'
    : `this run was of ${wanted.join(', ')} alone`;
}

function notRun({ suite, rows }: Unit, reason: string): Row[] {
  return rows.map((name) => ({ suite, name, state: 'not run', reason }));
}

function line({ suite, name, state, reason, figures }: Row): string {
  const { medianMs, ratio } = (figures ?? {}) as { medianMs?: number; ratio?: number | null };
  const ms = medianMs === undefined ? '' : `  ${medianMs.toFixed(2)} ms`;
  const times = typeof ratio === 'number' ? `, ${ratio.toFixed(2)} times as long as ours` : '';
  return `${state.padEnd(7)} ${suite}: ${name}${emulated ? '' : ms + times}${reason === undefined ? '' : `  (${reason})`}`;
}

function summary(rows: readonly Row[]): string {
  const count = (state: Row['state']): number => rows.filter((row) => row.state === state).length;
  return `${count('passed')} passed, ${count('failed')} failed, ${count('not run')} not run`;
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new BenchError(`bench: expected --${name} above 0, got ${text}`);
}

function list<Name extends string>(name: string, text: string, known: readonly Name[]): Name[] {
  const names = text.split(',');
  const stranger = names.find((one) => !(known as readonly string[]).includes(one));
  if (stranger === undefined) return names as Name[];
  throw new BenchError(`bench: expected --${name} of ${known.join(', ')}, got '${stranger}'`);
}
