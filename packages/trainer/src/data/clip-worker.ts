// SPDX-License-Identifier: Apache-2.0
// The worker thread of the loader: opens a clip, makes its sample, hands the patches back without copying.
import { parentPort, workerData } from 'node:worker_threads';
import type { Key } from '@diffmavil/core';
import { type DecodedClip, MediaError, type MediaReason } from '@diffmavil/media';
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
  /** A clip to mix in; `weight` is the share of the first. */
  readonly partner?: { readonly path: string; readonly weight: number };
}

/** `mixed`: whether there was a partner that could be read. `fault`: why there is no sample. `clipAtFault`: the clip is to be left out; otherwise the machine or the program is, and the run stops. */
export type WorkerAnswer =
  | { readonly task: number; readonly sample: Sample; readonly mixed: boolean }
  | { readonly task: number; readonly fault: string; readonly clipAtFault: boolean };

/** Reasons that say nothing about the clip: leaving it out would hide them. */
const machineReasons: ReadonlySet<MediaReason> = new Set([
  'killed',
  'aborted',
  'timeout',
  'ffmpeg-missing',
]);

const { spec, cacheFolder } = workerData as WorkerSetup;

parentPort?.on('message', async (asked: WorkerTask) => {
  parentPort?.postMessage(...(await answer(asked)));
});

async function answer({
  task,
  path,
  key,
  partner,
}: WorkerTask): Promise<[WorkerAnswer, ArrayBuffer[]]> {
  try {
    const clip = await openClip(path, decodeRequest(spec), cacheFolder);
    const other = partner === undefined ? null : await openPartner(partner.path);
    const mix = other && { clip: other, weight: partner!.weight };
    const sample = makeSample(clip, spec, key, mix);
    const buffers = [sample.audioPatches, sample.videoPatches].flatMap((patches) =>
      patches === null ? [] : [patches.buffer as ArrayBuffer],
    );
    return [{ task, sample, mixed: mix !== null }, buffers];
  } catch (error) {
    const clipAtFault = isClipFault(error);
    const fault = isMediaFault(error) ? error.message : String((error as Error).stack);
    return [{ task, fault, clipAtFault }, []];
  }
}

/** A partner that cannot be read is done without: as a clip of its own it is reported when its turn comes. */
async function openPartner(path: string): Promise<DecodedClip | null> {
  try {
    return await openClip(path, decodeRequest(spec), cacheFolder);
  } catch (error) {
    if (isClipFault(error)) return null;
    throw error;
  }
}

function isClipFault(error: unknown): boolean {
  return isMediaFault(error) && !(error instanceof MediaError && machineReasons.has(error.reason));
}

function isMediaFault(error: unknown): error is Error {
  return error instanceof Error && (error as { kind?: unknown }).kind === 'Media';
}
