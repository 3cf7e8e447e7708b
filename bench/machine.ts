// SPDX-License-Identifier: Apache-2.0
// What a result has to say about where it comes from, and whether the machine is quiet enough to measure on.
import { BenchError } from './bench-error.ts';
import { findAddon } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Ceilings } from './ceilings.ts';

/** The repository, from bench/ and bench/dist/ alike. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)));

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly isa: string | null;
}

/** Head of every result file. */
export interface Provenance {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  /** Whether files differ from the commit. */
  readonly dirty: boolean;
  readonly machine: Machine;
  /** Share of the machine that others used just before, 0..1. */
  readonly busyBefore: number;
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly ceilings: Ceilings | null;
}

/** What is known before anything is measured. */
export async function provenance(
  threads: number,
  ceilings: Ceilings | null,
  { allowBusy }: { readonly allowBusy: boolean },
): Promise<Provenance> {
  const busyBefore = await busyShare();
  if (busyBefore > 0.1 && !allowBusy) {
    throw new BenchError(
      `bench: expected an idle machine, got one that is ${(100 * busyBefore).toFixed(0)} % busy. ` +
        'Try: later, or --allow-busy for figures that nobody should quote',
    );
  }
  const { addon } = findAddon();
  const [processor] = cpus();
  return {
    date: new Date().toISOString(),
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim(),
    commit: git('rev-parse', 'HEAD'),
    dirty: git('status', '--porcelain', '--untracked-files=no') !== '',
    machine: {
      cpu: processor?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform}-${process.arch}`,
      isa: addon?.isa ?? null,
    },
    busyBefore,
    threads,
    versions: { node: process.versions.node, tfjs: tf.version_core, native: addon?.version ?? '–' },
    ceilings,
  };
}

/** Share of all processors in use over one second, 0..1. */
export async function busyShare(): Promise<number> {
  const before = processorTimes();
  await setTimeout(1000);
  const after = processorTimes();
  const total = after.total - before.total;
  return total === 0 ? 0 : 1 - (after.idle - before.idle) / total;
}

function processorTimes(): { readonly idle: number; readonly total: number } {
  let [idle, total] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function findRoot(folder: string): string {
  const manifest = join(folder, 'package.json');
  if (existsSync(manifest) && 'workspaces' in JSON.parse(readFileSync(manifest, 'utf8'))) {
    return folder;
  }
  return findRoot(dirname(folder));
}
