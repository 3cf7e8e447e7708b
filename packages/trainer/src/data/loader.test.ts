// SPDX-License-Identifier: Apache-2.0
// Needs the packages built: the worker threads run the built worker (npm test builds first).
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fold, makeKey, uniformStream } from '@diffmavil/core';
import { writeDemoClips } from '@diffmavil/media';
import { defaultPreprocessor, presets } from '@diffmavil/model';
import { beforeAll, describe, expect, it } from 'vitest';
import { defineRun } from '../config.ts';
import { type ClipEntry, readDataset } from './dataset.ts';
import { ClipLoader, type LoadedSample, type LoaderOptions } from './loader.ts';

const folder = mkdtempSync(join(tmpdir(), 'loader-'));
let clips: readonly ClipEntry[] = [];

beforeAll(async () => {
  await writeDemoClips({
    folder,
    clips: 5,
    uniforms: (clip) => uniformStream(fold(makeKey(0), clip)),
  });
  ({ clips } = readDataset(folder));
}, 60_000);

const { augmentation } = defineRun({
  model: 'tiny',
  augmentation: { roll: true, gain: true, noise: true },
});

function loaderOf(options: Partial<LoaderOptions> = {}): ClipLoader {
  return new ClipLoader({
    clips,
    spec: {
      model: presets.tiny,
      preprocessor: defaultPreprocessor(presets.tiny),
      augmentation,
      sharedWindow: true,
      maxClipSeconds: 6,
    },
    seed: 3,
    workers: 1,
    cacheFolder: null,
    maxBadShare: 0.5,
    badClips: {},
    onBadClip: () => {},
    ...options,
  });
}

/** Clip names and a hash of all patches of the first `count` samples. */
async function take(
  loader: ClipLoader,
  count: number,
  epoch = 0,
  cursor = 0,
): Promise<{ ids: string[]; hash: string; cursor: number }> {
  const ids: string[] = [];
  const hash = createHash('sha256');
  let last = cursor;
  for await (const item of loader.epoch(epoch, cursor)) {
    ids.push(item.sample.clip.id);
    for (const patches of [item.sample.audioPatches, item.sample.videoPatches])
      hash.update(patches!);
    last = item.cursor;
    if (ids.length === count) break;
  }
  await loader.close();
  return { ids, hash: hash.digest('hex'), cursor: last };
}

describe('ClipLoader', () => {
  it('gives the same samples whatever the threads and the cache', async () => {
    const cacheFolder = join(folder, '.cache');
    const plain = await take(loaderOf(), 5);
    expect(new Set(plain.ids).size).toBe(5);
    expect(await take(loaderOf({ workers: 2, cacheFolder }), 5)).toEqual(plain);
    expect(await take(loaderOf({ cacheFolder }), 5)).toEqual(plain);
  }, 60_000);

  it('goes on from a cursor as if it had never stopped', async () => {
    const whole = await take(loaderOf(), 7);
    const first = await take(loaderOf(), 3);
    const rest = await take(loaderOf(), 4, 0, first.cursor);
    expect([...first.ids, ...rest.ids]).toEqual(whole.ids);
    expect(rest.cursor).toBe(whole.cursor);
  }, 60_000);

  it('draws anew in another epoch', async () => {
    expect((await take(loaderOf(), 5, 1)).hash).not.toBe((await take(loaderOf(), 5, 0)).hash);
  }, 60_000);

  it('reports an unreadable clip once and puts the next one in its place', async () => {
    const broken = join(folder, 'broken.bin');
    writeFileSync(broken, 'not a film');
    const withBroken = clips.map((clip, i) => (i === 2 ? { ...clip, path: broken } : clip));
    const found: string[] = [];
    const loader = loaderOf({
      clips: withBroken,
      onBadClip: (clip, reason) => found.push(`${clip.id}: ${reason}`),
    });
    const { ids } = await take(loader, 8);
    expect(ids).not.toContain(clips[2]!.id);
    // Two rounds through the four good clips.
    expect(new Set(ids.slice(0, 4))).toEqual(new Set(ids.slice(4)));
    expect(found).toEqual([expect.stringMatching(new RegExp(`^${clips[2]!.id}: .*${broken}`))]);
    expect(Object.keys(loader.badClips)).toEqual([clips[2]!.id]);
  }, 60_000);

  it('visits every clip once, in order, for evaluation', async () => {
    const loader = loaderOf();
    const samples: LoadedSample[] = [];
    for await (const sample of loader.each()) samples.push(sample);
    await loader.close();
    expect(samples.map(({ clip }) => clip.id)).toEqual(clips.map(({ id }) => id));
  }, 60_000);

  it('mixes clips into the share asked for, the same whatever the threads', async () => {
    const samplesOf = async (options: Partial<LoaderOptions>): Promise<LoadedSample[]> => {
      const loader = loaderOf(options);
      const samples: LoadedSample[] = [];
      for await (const { sample } of loader.epoch(0, 0)) {
        samples.push(sample);
        if (samples.length === 10) break;
      }
      await loader.close();
      return samples;
    };
    const plain = await samplesOf({});
    const [half, again] = [
      await samplesOf({ mixup: 0.5 }),
      await samplesOf({ mixup: 0.5, workers: 2 }),
    ];
    const mixes = half.map(({ mix }) => mix?.weight ?? null);
    expect(again.map(({ mix }) => mix?.weight ?? null)).toEqual(mixes);
    const mixed = mixes.filter((weight) => weight !== null);
    // Draws are keyed by epoch and clip, so five clips make five draws: some mixed, some not. Beta(10, 10) stays away from the ends.
    expect(new Set(mixes).size).toBeGreaterThan(1);
    expect(mixed.length).toBeGreaterThan(0);
    for (const weight of mixed) expect(Math.abs(weight - 0.5)).toBeLessThan(0.45);
    const same = half.map(({ audioPatches }, i) =>
      Buffer.from(audioPatches!.buffer).equals(Buffer.from(plain[i]!.audioPatches!.buffer)),
    );
    expect(same).toEqual(mixes.map((weight) => weight === null));
  }, 60_000);

  it('does without a partner that cannot be read', async () => {
    const broken = join(folder, 'partner.bin');
    writeFileSync(broken, 'not a film');
    const [first] = clips;
    // Both clips of the set draw their partner from it; only one of them can be read.
    const loader = loaderOf({
      clips: [first!, { ...first!, id: 'broken', path: broken }],
      mixup: 1,
      maxBadShare: 1,
    });
    const partners: unknown[] = [];
    for await (const { sample } of loader.epoch(0, 0)) {
      partners.push(sample.mix?.clip.id ?? null);
      if (partners.length === 8) break;
    }
    await loader.close();
    expect(partners).not.toContain('broken');
  }, 60_000);

  it('takes windows of video from the start to the end of a clip for evaluation', async () => {
    const samplesOf = async (windows: number): Promise<LoadedSample> => {
      const loader = loaderOf({
        spec: {
          model: presets.tiny,
          preprocessor: defaultPreprocessor(presets.tiny),
          augmentation: null,
          sharedWindow: false,
          maxClipSeconds: 6,
          windows,
        },
      });
      for await (const sample of loader.each()) {
        await loader.close();
        return sample;
      }
      throw new Error('no clip');
    };
    const [one, three] = [await samplesOf(1), await samplesOf(3)];
    // 32 tokens of 384 values a window.
    expect([one.videoPatches!.length, three.videoPatches!.length]).toEqual([12288, 3 * 12288]);
    expect(three.videoPatches!.slice(0, 12288)).toEqual(one.videoPatches);
    expect(three.videoPatches!.slice(2 * 12288)).not.toEqual(one.videoPatches);
    expect(three.audioPatches).toEqual(one.audioPatches);
  }, 60_000);
});
