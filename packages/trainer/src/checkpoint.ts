// SPDX-License-Identifier: Apache-2.0
// Checkpoints: `checkpoints/step-000100/` holds the weights, the optimizer's moments and everything needed to go on exactly where the
// run stood. A checkpoint is complete or not there, so `kill -9` loses at most the steps since the last one.
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '@diffmavil/core';
import { readSafetensors, writeSafetensors } from '@diffmavil/model';
import * as tf from '@tensorflow/tfjs-core';
import { writeFolderAtomically } from './atomic-folder.ts';

/** Weights and AdamW moments by weight name; the three records have the same keys. */
export interface TrainState {
  readonly parameters: Readonly<Record<string, tf.Tensor>>;
  readonly firstMoments: Readonly<Record<string, tf.Tensor>>;
  readonly secondMoments: Readonly<Record<string, tf.Tensor>>;
}

/** Where a run stands. All counts are of work done. */
export interface RunPosition {
  /** Optimizer steps. */
  readonly step: number;
  /** Epoch in progress, from 0. */
  readonly epoch: number;
  /** Steps of that epoch. */
  readonly stepInEpoch: number;
  /** Positions of that epoch's sample order used up, clips skipped as unreadable included. */
  readonly cursor: number;
  /** Unreadable clips so far: id -> reason. */
  readonly badClips: Readonly<Record<string, string>>;
}

interface CheckpointRecord {
  readonly position: RunPosition;
  readonly configHash: string;
  readonly datasetHash: string;
  readonly versions: Readonly<Record<string, string>>;
}

const versions = { node: process.version, tfjs: tf.version_core };

/** What a checkpoint must match to be continued. */
export interface CheckpointIdentity {
  readonly configHash: string;
  readonly datasetHash: string;
}

/** Writes a checkpoint and deletes all but the newest `kept`. */
export async function saveCheckpoint(
  runFolder: string,
  state: TrainState,
  position: RunPosition,
  identity: CheckpointIdentity,
  kept: number,
): Promise<string> {
  const folder = join(runFolder, 'checkpoints', `step-${String(position.step).padStart(6, '0')}`);
  const record: CheckpointRecord = { position, ...identity, versions };
  writeFolderAtomically(folder, {
    'weights.safetensors': writeSafetensors(await readTensors(state.parameters)),
    'optimizer.safetensors': writeSafetensors({
      ...(await readTensors(state.firstMoments, 'first.')),
      ...(await readTensors(state.secondMoments, 'second.')),
    }),
    'run.json': `${JSON.stringify(record, null, 2)}\n`,
  });
  for (const old of listCheckpoints(runFolder).slice(0, -kept))
    rmSync(old, { recursive: true, force: true });
  return folder;
}

/** Checkpoint folders of a run, oldest first. */
export function listCheckpoints(runFolder: string): string[] {
  const folder = join(runFolder, 'checkpoints');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^step-\d+$/.test(name))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)))
    .map((name) => join(folder, name));
}

/**
 * Reads a checkpoint.
 * @param expectedNames Weight names the model has.
 * @throws CheckpointError when a file is missing or damaged, or the checkpoint belongs to another configuration or data set.
 */
export function loadCheckpoint(
  folder: string,
  expectedNames: readonly string[],
  identity: CheckpointIdentity,
): { state: TrainState; position: RunPosition } {
  const record = readRecord(folder);
  if (record.configHash !== identity.configHash) {
    throw new CheckpointError(
      `${folder}: expected a checkpoint of this configuration, got one of another. Try: the config.json of the run, or another --out`,
    );
  }
  if (record.datasetHash !== identity.datasetHash) {
    throw new CheckpointError(
      `${folder}: expected the data set the run was started on, got other clips. Try: the same --data, or another --out`,
    );
  }
  const weights = readFile(folder, 'weights.safetensors');
  const moments = readFile(folder, 'optimizer.safetensors');
  const pick = (from: ReturnType<typeof readFile>, prefix: string): Record<string, tf.Tensor> =>
    Object.fromEntries(
      expectedNames.map((name) => {
        const entry = from[prefix + name];
        if (entry === undefined)
          throw new CheckpointError(
            `${folder}: expected a tensor ${prefix + name}, got none of that name`,
          );
        return [name, tf.tensor(entry.data as Float32Array, [...entry.shape], 'float32')];
      }),
    );
  const state = {
    parameters: pick(weights, ''),
    firstMoments: pick(moments, 'first.'),
    secondMoments: pick(moments, 'second.'),
  };
  return { state, position: record.position };
}

function readRecord(folder: string): CheckpointRecord {
  try {
    return JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as CheckpointRecord;
  } catch (error) {
    throw damaged(folder, 'run.json', error);
  }
}

function readFile(folder: string, name: string): ReturnType<typeof readSafetensors> {
  try {
    return readSafetensors(readFileSync(join(folder, name)));
  } catch (error) {
    throw damaged(folder, name, error);
  }
}

function damaged(folder: string, name: string, error: unknown): CheckpointError {
  return new CheckpointError(
    `${join(folder, name)}: expected a complete checkpoint file, got ${(error as Error).message}. Try: delete ${folder}; the run goes on from the checkpoint before it`,
  );
}

type Written = Parameters<typeof writeSafetensors>[0];

async function readTensors(
  tensors: Readonly<Record<string, tf.Tensor>>,
  prefix = '',
): Promise<Written> {
  const entries = await Promise.all(
    Object.entries(tensors).map(async ([name, tensor]) => {
      const data = (await tensor.data()) as Float32Array;
      return [prefix + name, { dtype: 'F32', shape: tensor.shape, data }] as const;
    }),
  );
  return Object.fromEntries(entries);
}
