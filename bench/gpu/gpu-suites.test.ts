// SPDX-License-Identifier: Apache-2.0
// The suites for a GPU, run by their script over the emulated device: that they run, and that nothing is claimed of what did not.
import { emulateCuda } from '@diffmavil/testkit';
import { findAddon } from '@diffmavil/native';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../machine.ts';
import type { CompareFigures } from './compare.ts';
import { peakOfDevice } from './peaks.ts';
import { mergeRows } from './record.ts';
import type { GpuRecord } from './record.ts';
import type { Row } from './rows.ts';
import { targetRows } from './targets.ts';

const missing =
  findAddon().addon === null
    ? 'the native addon is not built'
    : emulateCuda()
      ? null
      : 'the emulated device is not built';
/** They take some 10 s each, on a machine that has nothing else to do. */
const timeout = 180_000;
const deviceLibrary = 'native/build-cuda/device/libdiffmavil_cuda.so';
/** 0 for a file that is not there. */
const megabytesOf = (file: string): number =>
  (statSync(file, { throwIfNoEntry: false })?.size ?? 0) / 1e6;
const skipNote = missing === null ? '' : ` (skipped: ${missing})`;

describe.skipIf(missing !== null)(`the packed suites${skipNote}`, () => {
  let folder: string;
  let packed: { readonly stdout: string; readonly stderr: string };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'diffmavil-gpu-'));
    const pack = join(root, 'native/scripts/pack-gpu.mjs');
    const args = [pack, '--out', folder, '--without-node'];
    packed = spawnSync(process.execPath, args, { encoding: 'utf8' });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const run = (...args: string[]): { status: number | null; said: string; record: GpuRecord } => {
    const script = join(folder, 'native/run-node-suites-on-gpu.sh');
    const out = join(folder, 'record.json');
    const { status, stdout, stderr } = spawnSync('bash', [script, '--out', out, ...args], {
      encoding: 'utf8',
      env: { ...process.env, DIFFMAVIL_BENCH_PYTHON: join(folder, 'no-python') },
    });
    const record = JSON.parse(readFileSync(out, 'utf8')) as GpuRecord;
    return { status, said: `${stdout}${stderr}`, record };
  };
  const statesOf = (record: GpuRecord, suite: Row['suite']): string[] =>
    record.rows.filter((row) => row.suite === suite).map(({ state }) => state);

  it('leave room for Node and the device library in 60 MB', () => {
    expect(packed.stderr).toBe('');
    const [, megabytes = ''] = /([\d.]+) MB {2}in all/.exec(packed.stdout) ?? [];
    // Here Node is left out, which takes 24 MB, and the device library is as it is, which takes 3 packed.
    const rest = Number(megabytes) - megabytesOf(join(root, deviceLibrary));
    expect(rest).toBeGreaterThan(5);
    expect(rest).toBeLessThan(60 - 24 - 3);
  });

  const few = ['--emulated', '--precisions', 'bfloat16', '--suites'];

  it('run over the emulated device, but for what is not there', { timeout }, () => {
    const { record, ...ended } = run(...few, 'specs,compare');
    expect(ended).toMatchObject({ status: 0 });
    expect(record).toMatchObject({ state: 'run', backend: 'diffmavil-cuda', emulated: true });
    expect(statesOf(record, 'specs')).toEqual(['passed']);
    const [specs] = record.rows;
    expect(specs?.figures).toMatchObject({ failed: 0 });
    expect(specs?.figures?.['passed']).toBeGreaterThan(250);
    // Ours; captured; PyTorch.
    expect(statesOf(record, 'compare')).toEqual(['passed', 'passed', 'not run']);
    const captured = record.rows.find(({ name }) => name.endsWith('diffmavil-cuda graph'));
    expect(captured?.figures).toMatchObject({
      captures: { plain: 1, replayed: expect.any(Number) },
    });
    const torch = record.rows.find(({ name }) => name.endsWith('PyTorch eager'));
    expect(torch?.reason).toContain('no-python to have PyTorch, got');
    // What was not asked for, or cannot be known without a GPU, is not claimed.
    expect(statesOf(record, 'training')).toEqual(['not run']);
    expect(statesOf(record, 'targets')).toEqual(['not run', 'not run', 'not run']);
  });

  it('add up in one record', { timeout }, () => {
    const { record, ...ended } = run(...few, 'parity,repeat,training');
    expect(ended).toMatchObject({ status: 0 });
    expect(statesOf(record, 'parity')).toEqual(['passed']);
    // In one process and in two, and captured.
    expect(statesOf(record, 'repeat')).toEqual(['passed', 'passed', 'passed']);
    expect(statesOf(record, 'training')).toEqual(['passed']);
    expect(statesOf(record, 'compare')).toEqual(['passed', 'passed', 'not run']);
  });

  it('end a unit that takes too long, and say so', () => {
    const endless = ['--suites', 'training', '--precisions', 'float32', '--steps', '1000000'];
    const { status, record } = run('--emulated', ...endless, '--minutes', '0.1');
    const [row] = record.rows.filter(({ suite }) => suite === 'training');
    expect(row).toMatchObject({ name: 'tiny float32, 1000000 steps of 2 clips', state: 'not run' });
    expect(row?.reason).toMatch(/^no (result within the [1-6] s that were|time was) left for it$/);
    // Not to have run is no failure.
    expect(status).toBe(0);
  });

  it(
    'keep the rows that there are when the run is ended in the middle of a unit',
    { timeout },
    async () => {
      const out = join(folder, 'ended.json');
      const args = ['--out', out, '--emulated', '--precisions', 'float32', '--suites', 'repeat'];
      const main = join(folder, 'bench/gpu/main.js');
      const child = spawn(process.execPath, [main, ...args], { stdio: 'ignore' });
      const ended = once(child, 'exit');
      const states = (): string[] =>
        existsSync(out)
          ? statesOf(JSON.parse(readFileSync(out, 'utf8')) as GpuRecord, 'repeat')
          : [];
      while (child.exitCode === null && !states().includes('passed')) await setTimeout(20);
      child.kill('SIGTERM');
      expect(await ended).toEqual([130, null]);
      expect(states().toSorted()).toEqual(['not run', 'not run', 'passed']);
    },
  );

  it('say of every row that it was not run where there is no GPU, beside the record of kernels', () => {
    const out = join(folder, 'device-runs.json');
    writeFileSync(out, '{ "command": "native/cuda/run-on-gpu.sh", "cases": [] }');
    const main = join(folder, 'bench/gpu/main.js');
    const args = [main, '--out', out, '--not-run', 'no GPU and driver on this machine'];
    const { status, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, DIFFMAVIL_BENCH_PYTHON: join(folder, 'no-python') },
    });
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    const { suites, ...kernels } = JSON.parse(readFileSync(out, 'utf8')) as { suites: GpuRecord };
    expect(kernels).toEqual({ command: 'native/cuda/run-on-gpu.sh', cases: [] });
    expect(new Set(suites.rows.map(({ state }) => state))).toEqual(new Set(['not run']));
    expect(suites.rows.filter(({ suite }) => suite === 'compare')).toHaveLength(2 * 2 * 4 * 6);
  });
});

describe('the record of a GPU', () => {
  const figures = {
    preset: 'base',
    precision: 'bfloat16',
    batch: 64,
    maskRatio: 0.8,
    side: 'diffmavil-cuda',
    medianMs: 100,
    ratio: null,
    hostShare: 0.04,
  } as const;
  const row = (given: Partial<CompareFigures>): Row => ({
    suite: 'compare',
    name: JSON.stringify(given),
    state: 'passed',
    figures: { ...figures, ...given },
  });
  const targets = (rows: readonly Row[], device: string): string[] =>
    targetRows(rows, device).map(({ state }) => state);

  it('judges the targets by what was measured', () => {
    const rows = [
      row({}),
      row({ batch: 32, hostShare: 0.049 }),
      row({ side: 'PyTorch cuda eager', ratio: 1.6 }),
      row({ side: 'PyTorch cuda compile', ratio: 1.1 }),
    ];
    expect(targets(rows, 'NVIDIA H200')).toEqual(['passed', 'passed', 'passed']);
    expect(targets(rows, 'NVIDIA H100 80GB HBM3')).toEqual(['not run', 'passed', 'passed']);
    const slow = [
      row({ medianMs: 106, hostShare: 0.05 }),
      row({ side: 'PyTorch cuda compile', ratio: 0.99 }),
    ];
    expect(targets(slow, 'NVIDIA H200')).toEqual(['failed', 'failed', 'failed']);
    expect(targets([], 'NVIDIA H200')).toEqual(['not run', 'not run', 'not run']);
    // What failed proves nothing.
    expect(targets([{ ...row({}), state: 'failed' }], 'NVIDIA H200')[0]).toBe('not run');
  });

  it('takes a captured step for ours where it is the faster one', () => {
    const rows = [
      row({ hostShare: 0.2 }),
      row({ side: 'diffmavil-cuda graph', ratio: 0.9, medianMs: 90, hostShare: 0.02 }),
      row({ side: 'PyTorch cuda compile', ratio: 0.95 }),
    ];
    const [, host, beaten] = targetRows(rows, 'NVIDIA H200');
    const shares = [{ side: 'diffmavil-cuda graph', batch: 64, share: 0.02 }];
    expect(host).toMatchObject({ state: 'passed', figures: { shares } });
    const group = 'bfloat16, 64 clips, mask ratio 0.8';
    const ratios = [{ group, best: 'PyTorch cuda compile', timesAsLong: 0.95 / 0.9 }];
    expect(beaten).toMatchObject({ state: 'passed', figures: { ratios } });
  });

  it('keeps rows of an earlier run that this one did not run', () => {
    const a = { suite: 'specs', name: 'a', state: 'passed' } as const;
    const b = { suite: 'specs', name: 'b', state: 'failed', reason: 'x' } as const;
    const left = (name: string): Row => ({ suite: 'specs', name, state: 'not run', reason: 'y' });
    expect(mergeRows([left('a'), left('c')], [a, b, left('d')])).toEqual([a, left('c'), b]);
    expect(mergeRows([{ ...b, name: 'a' }], [a])).toEqual([{ ...b, name: 'a' }]);
  });

  it('knows what data sheets promise', () => {
    expect(peakOfDevice('NVIDIA H200')).toEqual({ bfloat16: 989e12, float32: 67e12 });
    expect(peakOfDevice('NVIDIA H100 80GB HBM3')).toEqual({ bfloat16: 989e12, float32: 67e12 });
    expect(peakOfDevice('NVIDIA H100 PCIe')?.bfloat16).toBe(756e12);
    expect(peakOfDevice('NVIDIA GeForce RTX 4090')).toBeNull();
  });
});
