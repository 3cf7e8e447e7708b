// SPDX-License-Identifier: Apache-2.0
// The worker thread of the loader: opens a clip, makes its sample, hands the patches back without copying.
import { parentPort, workerData } from 'node:worker_threads';
import type { Key } from '@diffmavil/core';
import { MediaError, type MediaReason } from '@diffmavil/media';
import { openClip } from './clip-store.ts';
import { type Sample, type SampleSpec, decodeRequest, makeSample } from './sample.ts';

/** What a worker is started with. */
export interface WorkerSetup {
  readonly spec: SampleSpec;
  readonly cacheFolder: string | null;
}

export interface WorkerTask {
  readonly task: number;
  readonly path: string;
  readonly key: Key;
}

/** `fault`: why there is no sample. `clipAtFault`: the clip is to be left out; otherwise the machine or the program is, and the run stops. */
export type WorkerAnswer =
  | { readonly task: number; readonly sample: Sample }
  | { readonly task: number; readonly fault: string; readonly clipAtFault: boolean };

/** Reasons that say nothing about the clip: leaving it out would hide them. */
const machineReasons: ReadonlySet<MediaReason> = new Set([
  'killed',
  'aborted',
  'timeout',
  'ffmpeg-missing',
]);

const { spec, cacheFolder } = workerData as WorkerSetup;

parentPort?.on('message', async ({ task, path, key }: WorkerTask) => {
  parentPort?.postMessage(...(await answer(task, path, key)));
});

async function answer(
  task: number,
  path: string,
  key: Key,
): Promise<[WorkerAnswer, ArrayBuffer[]]> {
  try {
    const sample = makeSample(await openClip(path, decodeRequest(spec), cacheFolder), spec, key);
    const buffers = [sample.audioPatches, sample.videoPatches].flatMap((patches) =>
      patches === null ? [] : [patches.buffer as ArrayBuffer],
    );
    return [{ task, sample }, buffers];
  } catch (error) {
    const clipAtFault =
      isMediaFault(error) && !(error instanceof MediaError && machineReasons.has(error.reason));
    const fault = isMediaFault(error) ? error.message : String((error as Error).stack);
    return [{ task, fault, clipAtFault }, []];
  }
}

function isMediaFault(error: unknown): error is Error {
  return error instanceof Error && (error as { kind?: unknown }).kind === 'Media';
}
