// SPDX-License-Identifier: Apache-2.0
// Samples from worker threads, in a stated order, a bounded number ahead. An unreadable clip is reported once, its place taken by the
// next position of the epoch's order; which clips make a batch therefore depends on the data alone, not on timing.
import { Worker } from 'node:worker_threads';
import { drawBeta } from '@diffmavil/audio-spectrogram';
import { type Key, fold, makeKey, uniformStream } from '@diffmavil/core';
import type { WorkerAnswer, WorkerSetup, WorkerTask } from './clip-worker.ts';
import type { FinetuneConfig, RunConfig } from '../config.ts';
import type { ClipEntry } from './dataset.ts';
import type { Sample, SampleSpec } from './sample.ts';
import { clipAt, weightedClipAt } from './sampler.ts';

export interface LoadedSample extends Sample {
  readonly clip: ClipEntry;
  /** Key of every draw that concerns this clip in this epoch. */
  readonly key: Key;
  /** The clip mixed in, and the share of the first; null: none. */
  readonly mix: { readonly clip: ClipEntry; readonly weight: number } | null;
}

/** A data set so broken that going on would be pointless. */
export class DataError extends Error {
  override readonly name = 'DataError';
  readonly kind = 'Media';
}

export interface LoaderOptions {
  readonly clips: readonly ClipEntry[];
  readonly spec: SampleSpec;
  readonly seed: number;
  /** Threads, 1 or more. */
  readonly workers: number;
  readonly cacheFolder: string | null;
  readonly maxBadShare: number;
  /** Share of the samples that another clip is mixed into, 0..1. Default 0. */
  readonly mixup?: number;
  /** Weights of the clips, `[clips]`, to draw them by with replacement; null: each once an epoch. Default null. */
  readonly weights?: readonly number[] | null;
  /** Clips known to be unreadable: id -> reason. */
  readonly badClips: Readonly<Record<string, string>>;
  /** Called once for each newly found unreadable clip. */
  readonly onBadClip: (clip: ClipEntry, reason: string) => void;
}

/** The loader options of a training run. */
export function trainingLoader(
  { seed, model, data, augmentation }: RunConfig | FinetuneConfig,
  clips: readonly ClipEntry[],
  preprocessor: SampleSpec['preprocessor'],
): Omit<LoaderOptions, 'badClips' | 'onBadClip'> {
  const { workers, cacheFolder, maxBadShare, sharedWindow, maxClipSeconds } = data;
  const spec = { model, preprocessor, augmentation, sharedWindow, maxClipSeconds };
  return { clips, seed, workers, cacheFolder, maxBadShare, spec };
}

/** Samples prepared beyond the batch being consumed. */
const samplesAhead = 16;

/** Owns worker threads: call `close` when done. */
export class ClipLoader {
  readonly #options: LoaderOptions;
  readonly #pool: WorkerPool;
  readonly #bad: Map<string, string>;
  /** Running sums of the weights. */
  readonly #cumulative: Float64Array | null;

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#bad = new Map(Object.entries(options.badClips));
    let sum = 0;
    const { weights = null } = options;
    this.#cumulative = weights && Float64Array.from(weights, (weight) => (sum += weight));
    this.#pool = new WorkerPool(options.workers, {
      spec: options.spec,
      cacheFolder: options.cacheFolder,
    });
  }

  /** Unreadable clips so far: id -> reason. */
  get badClips(): Record<string, string> {
    return Object.fromEntries(this.#bad);
  }

  /**
   * Samples of an epoch in its order, from a position on; endless (the order repeats), so take as many as the epoch has.
   * Each comes with the position after it, the cursor to store.
   * @throws DataError when more than `maxBadShare` of the clips, or all of them, are unreadable.
   */
  async *epoch(
    epoch: number,
    cursor: number,
  ): AsyncGenerator<{ sample: LoadedSample; cursor: number }> {
    const { clips, seed } = this.#options;
    const pending: {
      position: number;
      clip: ClipEntry;
      key: Key;
      partner: ReturnType<typeof drawPartner>;
      answer: Promise<WorkerAnswer>;
    }[] = [];
    let position = cursor;
    const request = (): void => {
      const cumulative = this.#cumulative;
      const index =
        cumulative === null
          ? clipAt(seed, epoch, clips.length, position)
          : weightedClipAt(seed, epoch, cumulative, position);
      const clip = clips[index]!;
      position++;
      if (this.#bad.has(clip.id)) return;
      const own = fold(makeKey(seed), 'clip', epoch, clip.id);
      // A clip drawn twice in an epoch is augmented anew.
      const key = cumulative === null ? own : fold(own, position);
      const partner = drawPartner(this.#options, key);
      const answer = this.#pool.run({
        path: clip.path,
        key,
        ...(partner && { partner: { path: partner.clip.path, weight: partner.weight } }),
      });
      answer.catch(() => {});
      pending.push({ position, clip, key, partner, answer });
    };
    for (;;) {
      while (pending.length < samplesAhead && this.#bad.size < clips.length) request();
      const next = pending.shift();
      if (next === undefined) throw this.#tooMany();
      const answer = await next.answer;
      if ('sample' in answer)
        yield {
          sample: {
            ...answer.sample,
            clip: next.clip,
            key: next.key,
            mix: answer.mixed ? next.partner : null,
          },
          cursor: next.position,
        };
      else this.#reject(next.clip, answer);
    }
  }

  /** Every clip once, in the data set's order, as it is for evaluation; unreadable ones are reported and left out. */
  async *each(): AsyncGenerator<LoadedSample> {
    const { clips, seed } = this.#options;
    const pending: { clip: ClipEntry; key: Key; answer: Promise<WorkerAnswer> }[] = [];
    for (let index = 0; index < clips.length || pending.length > 0;) {
      while (pending.length < samplesAhead && index < clips.length) {
        const clip = clips[index++]!;
        const key = fold(makeKey(seed), 'clip', 0, clip.id);
        const answer = this.#pool.run({ path: clip.path, key });
        answer.catch(() => {});
        pending.push({ clip, key, answer });
      }
      const { clip, key, answer } = pending.shift()!;
      const done = await answer;
      if ('sample' in done) yield { ...done.sample, clip, key, mix: null };
      else this.#reject(clip, done);
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  #reject(clip: ClipEntry, answer: { fault: string; clipAtFault: boolean }): void {
    if (!answer.clipAtFault)
      throw new DataError(`data: expected to read ${clip.id}, got ${answer.fault}`);
    if (this.#bad.has(clip.id)) return;
    this.#bad.set(clip.id, answer.fault);
    this.#options.onBadClip(clip, answer.fault);
    const { clips, maxBadShare } = this.#options;
    if (this.#bad.size > maxBadShare * clips.length && this.#bad.size > 1) throw this.#tooMany();
    if (this.#bad.size === clips.length) throw this.#tooMany();
  }

  #tooMany(): DataError {
    const { clips, maxBadShare } = this.#options;
    const [id, reason] = [...this.#bad][0]!;
    return new DataError(
      `data: expected at most ${Math.round(maxBadShare * 100)} % unreadable clips, got ${this.#bad.size} of ${clips.length}, the first ${id}: ${reason}. Try: repair or remove them, or raise data.maxBadShare`,
    );
  }
}

/** With probability `mixup`, a clip uniform over the data set and a weight of Beta(10, 10) [AudioMAE]. */
function drawPartner(
  { clips, mixup = 0 }: Pick<LoaderOptions, 'clips' | 'mixup'>,
  key: Key,
): LoadedSample['mix'] {
  const uniform = uniformStream(fold(key, 'mixup'));
  if (mixup === 0 || uniform() >= mixup) return null;
  const clip = clips[Math.floor(uniform() * clips.length)]!;
  return { clip, weight: drawBeta(10, 10, uniform) };
}

type Settle = { resolve: (answer: WorkerAnswer) => void; reject: (error: Error) => void };

class WorkerPool {
  readonly #workers: { worker: Worker; busy: number }[];
  readonly #waiting = new Map<number, Settle>();
  #tasks = 0;

  constructor(count: number, setup: WorkerSetup) {
    // From src/data and from dist/data alike this is the built worker: threads cannot run TypeScript on Node 20.
    const file = new URL('../../dist/data/clip-worker.js', import.meta.url);
    this.#workers = Array.from({ length: count }, () => {
      // No flags of the parent: a test runner's would send the built worker to TypeScript sources.
      const worker = new Worker(file, { workerData: setup, execArgv: [] });
      const slot = { worker, busy: 0 };
      worker.on('message', (answer: WorkerAnswer) => {
        slot.busy--;
        this.#settle(answer.task)?.resolve(answer);
      });
      worker.on('error', (error) =>
        this.#fail(error instanceof Error ? error : new Error(String(error))),
      );
      return slot;
    });
  }

  run(task: Omit<WorkerTask, 'task'>): Promise<WorkerAnswer> {
    const id = this.#tasks++;
    const slot = this.#workers.reduce((least, candidate) =>
      candidate.busy < least.busy ? candidate : least,
    );
    slot.busy++;
    slot.worker.postMessage({ ...task, task: id } satisfies WorkerTask);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
    this.#fail(new Error('loader: closed'));
  }

  #settle(task: number): Settle | undefined {
    const settle = this.#waiting.get(task);
    this.#waiting.delete(task);
    return settle;
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
