// SPDX-License-Identifier: Apache-2.0
// The JSON record of a run: where it ran, and a row for everything that was planned. Runs of the same commit on the same device add up in one file.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { root } from '../machine.ts';
import type { Row } from './rows.ts';

/** What native/scripts/pack-gpu.mjs leaves beside the suites. */
export interface Packed {
  readonly commit: string;
  /** Whether files differed from the commit. */
  readonly dirty: boolean;
  readonly date: string;
}

export interface GpuRecord {
  readonly command: string;
  readonly date: string;
  readonly commit: string;
  readonly dirty: boolean;
  readonly backend: string;
  readonly emulated: boolean;
  readonly state: 'run' | 'not run';
  readonly reason?: string;
  readonly machine: {
    /** As nvidia-smi names it; null where there is none. */
    readonly device: string | null;
    /** Of nvidia-smi: driver, clocks, memory, limit of power. */
    readonly smi: Readonly<Record<string, string>>;
    readonly cpu: string;
    readonly node: string;
  };
  readonly peak: { readonly source: string; readonly operationsPerSecond: unknown } | null;
  readonly rows: readonly Row[];
}

export const command = 'native/run-node-suites-on-gpu.sh';

export function readPacked(): Packed {
  return JSON.parse(readFileSync(join(root, 'pack.json'), 'utf8')) as Packed;
}

/** The machine, with a GPU or without. */
export function describeMachine(): GpuRecord['machine'] {
  const smi = smiFigures();
  return {
    device: smi['name'] ?? null,
    smi,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    node: process.versions.node,
  };
}

function smiFigures(): Record<string, string> {
  const fields = [
    'name',
    'driver_version',
    'memory.total',
    'clocks.sm',
    'clocks.max.sm',
    'clocks.mem',
    'power.limit',
    'temperature.gpu',
  ];
  try {
    const args = [`--query-gpu=${fields.join()}`, '--format=csv,noheader'];
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    const said = execFileSync('nvidia-smi', args, { encoding: 'utf8', stdio });
    const [first = ''] = said.split('\n');
    const values = first.split(', ');
    return values.length < fields.length
      ? {}
      : Object.fromEntries(fields.map((field, i) => [field, values[i]!.trim()]));
  } catch {
    return {};
  }
}

/** The record in a file; null when there is none, or one of another commit, device or backend. */
export function readSameRun(path: string, record: GpuRecord): GpuRecord | null {
  const found = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Stored) : null;
  const old = found === null ? null : isKernelRecord(found) ? (found.suites ?? null) : found;
  const same =
    old !== null &&
    old.commit === record.commit &&
    old.dirty === record.dirty &&
    old.backend === record.backend &&
    old.emulated === record.emulated &&
    old.machine.device === record.machine.device;
  return same ? old : null;
}

/** native/cuda/run-on-gpu.sh writes one of kernels; the suites then are its last entry. */
type KernelRecord = { readonly cases: unknown; readonly suites?: GpuRecord };
type Stored = GpuRecord | KernelRecord;

function isKernelRecord(record: Stored): record is KernelRecord {
  return 'cases' in record;
}

export function writeRecord(path: string, record: GpuRecord): void {
  const found = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Stored) : null;
  const whole = found !== null && isKernelRecord(found) ? { ...found, suites: record } : record;
  // Beside it first: a run may be ended at any time, and its record be what the next one adds to.
  writeFileSync(`${path}.part`, `${JSON.stringify(whole, null, 1)}\n`);
  renameSync(`${path}.part`, path);
}

/** Rows of this run before those of an earlier one, which stand for what was not run this time. */
export function mergeRows(rows: readonly Row[], earlier: readonly Row[]): Row[] {
  const keyOf = ({ suite, name }: Row): string => `${suite}: ${name}`;
  const before = new Map(earlier.map((row) => [keyOf(row), row]));
  const merged = rows.map((row) => {
    const old = before.get(keyOf(row));
    before.delete(keyOf(row));
    return row.state === 'not run' && old !== undefined && old.state !== 'not run' ? old : row;
  });
  // Of other batches or presets, say.
  return [...merged, ...[...before.values()].filter(({ state }) => state !== 'not run')];
}
