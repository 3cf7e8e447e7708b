// SPDX-License-Identifier: Apache-2.0
// The folder of a run: config.json, log.jsonl, TensorBoard events, checkpoints/, model/, report.html.
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '@diffmavil/core';
import { writeFileAtomically } from './atomic-folder.ts';
import { listCheckpoints } from './checkpoint.ts';
import type { FinetuneConfig, RunConfig } from './config.ts';

/** What `config.json` of a run holds. */
export type RunRecord =
  | { readonly kind: 'pretrain'; readonly config: RunConfig; readonly data: string }
  | {
      readonly kind: 'finetune';
      readonly config: FinetuneConfig;
      readonly data: string;
      readonly init: string;
    };

export const logFile = (run: string): string => join(run, 'log.jsonl');
export const modelFolder = (run: string): string => join(run, 'model');

/** The model folder of a run, or the folder itself. Throws ConfigError when it does not exist. */
export function modelFolderOf(folder: string): string {
  if (!existsSync(folder)) {
    throw new ConfigError(
      `model: expected a run folder or a model folder, got ${folder}, which does not exist`,
    );
  }
  return existsSync(modelFolder(folder)) ? modelFolder(folder) : folder;
}

/**
 * Makes the folder of a new run, or checks that an existing one may be continued.
 * @returns The newest checkpoint to go on from, or null to begin.
 * @throws ConfigError when the folder holds a run and `resume` is false, or cannot be written.
 */
export function openRunFolder(run: string, record: RunRecord, resume: boolean): string | null {
  const configFile = join(run, 'config.json');
  if (existsSync(configFile)) {
    if (!resume) {
      throw new ConfigError(
        `${run}: expected a new folder, got one that holds a run. Try: --resume to go on with it, or another --out`,
      );
    }
    assertSameRun(run, record);
    return listCheckpoints(run).at(-1) ?? null;
  }
  try {
    mkdirSync(run, { recursive: true });
    accessSync(run, constants.W_OK);
    writeFileAtomically(configFile, `${JSON.stringify(record, null, 2)}\n`);
  } catch (error) {
    throw new ConfigError(
      `${run}: expected a folder that can be written, got ${(error as Error).message}. Try: another --out`,
    );
  }
  return null;
}

/** Reads `config.json` of a run. Throws CheckpointError when the folder holds none. */
export function readRun(run: string): RunRecord {
  try {
    return JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as RunRecord;
  } catch (error) {
    throw new CheckpointError(
      `${run}: expected a run folder with a config.json, got ${(error as Error).message}`,
    );
  }
}

/** Hash of what a run's results depend on; threads, caches and checkpoint habits may change between resumes. */
export function configHash(record: RunRecord): string {
  const { data, checkpointSteps: _steps, checkpointsKept: _kept, ...rest } = record.config;
  const { workers: _workers, cacheFolder: _cache, ...cut } = data;
  return createHash('sha256')
    .update(JSON.stringify([record.kind, rest, cut]))
    .digest('hex');
}

function assertSameRun(run: string, record: RunRecord): void {
  const before = readRun(run);
  if (before.kind === record.kind && configHash(before) === configHash(record)) return;
  const changed = differences(before, record, '').slice(0, 4).join('; ');
  throw new ConfigError(
    `${run}: expected the configuration the run was started with, got ${changed}. Try: the same settings, or another --out`,
  );
}

/** Clauses `path value instead of value before`, one for each value that differs. */
export function differences(before: unknown, after: unknown, path: string): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null;
  if (!isRecord(before) || !isRecord(after))
    return [`${path} ${JSON.stringify(after)} instead of ${JSON.stringify(before)}`];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) =>
    differences(before[key], after[key], path === '' ? key : `${path}.${key}`),
  );
}
