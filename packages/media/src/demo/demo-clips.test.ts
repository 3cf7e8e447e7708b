// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { decodeClip } from '../decode-clip.ts';
import { demoFormat, demoLabels, renderDemoClip, writeDemoClips } from './demo-clips.ts';

/** mulberry32, one stream per clip. */
const uniforms = (clip: number): (() => number) => {
  let state = (clip * 0x9e3779b1 + 99) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'diffmavil-demo-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Peaks of a signal by frame: loudness of the waveform in each frame's time. */
function loudness(waveform: Float32Array, frames: number): number[] {
  const window = waveform.length / frames;
  return Array.from({ length: frames }, (_, k) =>
    waveform.subarray(k * window, (k + 1) * window).reduce((sum, v) => sum + Math.abs(v), 0),
  );
}

const same = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): boolean =>
  Buffer.from(a.buffer).equals(Buffer.from(b.buffer)); // toEqual takes seconds for a million elements

function correlation(a: readonly number[], b: readonly number[]): number {
  const centred = (values: readonly number[]): number[] => {
    const mean = values.reduce((s, v) => s + v, 0) / values.length;
    return values.map((v) => v - mean);
  };
  const [x, y] = [centred(a), centred(b)];
  const dot = (p: readonly number[], q: readonly number[]): number =>
    p.reduce((s, v, i) => s + v * (q[i] ?? 0), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

describe('renderDemoClip', () => {
  it('is a function of the draws, finite, audible and moving in every class', () => {
    for (let clip = 0; clip < demoLabels.length; clip++) {
      const one = renderDemoClip(clip, uniforms(clip), 64);
      const again = renderDemoClip(clip, uniforms(clip), 64);
      expect(same(again.frames, one.frames)).toBe(true);
      expect(same(again.waveform, one.waveform)).toBe(true);
      const other = renderDemoClip(clip, uniforms(clip + 10), 64);
      expect(same(other.waveform, one.waveform)).toBe(false);
      const peak = one.waveform.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      expect(peak).toBeGreaterThan(0.2);
      expect(peak).toBeLessThanOrEqual(1);
      expect(one.waveform.length).toBe(demoFormat.seconds * demoFormat.sampleRate);
      expect([one.width, one.height, one.frames.length]).toEqual([86, 64, 60 * 86 * 64 * 3]);
      const half = one.frames.length / 2;
      const moved = one.frames
        .subarray(0, half)
        .some((v, i) => Math.abs(v - (one.frames[half + i] ?? v)) > 40);
      expect(moved).toBe(true);
    }
  });

  it("ties the zipper's loudness to its slider's speed, and only in its own clip", () => {
    const zipper = demoLabels.indexOf('zipper');
    const change = (clip: number): number[] => {
      const { frames } = renderDemoClip(zipper, uniforms(clip), 64);
      const bytes = frames.length / 60;
      return Array.from({ length: 59 }, (_, k) => {
        let sum = 0;
        for (let i = k * bytes; i < (k + 1) * bytes; i++) {
          sum += Math.abs((frames[i] ?? 0) - (frames[i + bytes] ?? 0));
        }
        return sum;
      });
    };
    const heard = loudness(renderDemoClip(zipper, uniforms(5), 64).waveform, 60).slice(0, 59);
    expect(correlation(change(5), heard)).toBeGreaterThan(0.6);
    expect(correlation(change(7), heard)).toBeLessThan(0.5);
  });
});

describe('writeDemoClips', () => {
  it('writes clips that decode whole, with balanced labels and a quarter for testing', async () => {
    const calls: string[] = [];
    const onProgress = (done: number, total: number): void => void calls.push(`${done}/${total}`);
    const rows = await writeDemoClips({ folder, clips: 10, uniforms, size: 64, onProgress });
    expect(calls).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 1}/10`));
    expect(rows.map(({ label }) => label)).toEqual(demoLabels);
    expect(rows.filter(({ split }) => split === 'test').map(({ label }) => label)).toEqual([
      'siren',
      'train',
    ]);
    const table = rows.map(({ file, label, split }) => `${file},${label},${split}\n`).join('');
    expect(await readFile(join(folder, 'labels.csv'), 'utf8')).toBe(`file,label,split\n${table}`);
    expect((await readdir(folder)).sort()).toEqual(
      [...rows.map(({ file }) => file), 'demo.json', 'labels.csv'].sort(),
    );
    for (const { file } of rows.slice(0, 3)) {
      const clip = await decodeClip(join(folder, file));
      expect(clip).toMatchObject({ frameRate: 12, sampleRate: 16_000, decodeErrors: 0 });
      expect(clip.frames).toMatchObject({ frames: 60, height: 64, width: 86 });
      expect(clip.waveform.length).toBe(80_000);
    }
  });

  it('keeps sound and picture together through the encoder', async () => {
    const { waveform, frames } = renderDemoClip(0, uniforms(0), 64);
    const clip = await decodeClip(join(folder, '00000-bouncing-ball.mp4'));
    expect(correlation(loudness(waveform, 500), loudness(clip.waveform, 500))).toBeGreaterThan(
      0.98,
    );
    let error = 0;
    for (let i = 0; i < frames.length; i++)
      error += Math.abs((frames[i] ?? 0) - (clip.frames.data[i] ?? 0));
    expect(error / frames.length).toBeLessThan(8);
  });

  it('goes on where it stopped: complete clips stay, missing ones come back byte for byte', async () => {
    const kept = join(folder, '00001-metronome.mp4');
    const lost = join(folder, '00004-rain.mp4');
    const bytes = await readFile(lost);
    await rm(lost);
    await utimes(kept, 1, 1);
    await writeDemoClips({ folder, clips: 10, uniforms, size: 64 });
    expect((await stat(kept)).mtimeMs).toBe(1000);
    expect(bytes.equals(await readFile(lost))).toBe(true);
  });

  it('does not mix two sets of clips in one folder', async () => {
    const other = (clip: number): (() => number) => uniforms(clip + 1);
    for (const change of [{ uniforms: other }, { size: 96 }]) {
      const run = writeDemoClips({ folder, clips: 1, uniforms, size: 64, ...change });
      await expect(run).rejects.toMatchObject({ reason: 'bad-option', path: folder });
    }
  });

  it('stops on abort and leaves no half-written file', async () => {
    const inside = join(folder, 'aborted');
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const run = writeDemoClips({
      folder: inside,
      clips: 20,
      uniforms,
      size: 64,
      onProgress,
      signal: stop.signal,
    });
    await expect(run).rejects.toMatchObject({ kind: 'Media', reason: 'aborted' });
    const left = await readdir(inside);
    expect(left.filter((name) => name.endsWith('.tmp') || name === 'labels.csv')).toEqual([]);
  });

  it('says what an ffmpeg without the encoder said', async () => {
    const program = join(folder, 'ffmpeg');
    await writeFile(program, '#!/bin/sh\necho "Unknown encoder \'libx264\'" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const inside = join(folder, 'failed');
    const run = writeDemoClips({ folder: inside, clips: 1, uniforms, size: 64, ffmpeg: program });
    await expect(run).rejects.toThrow(
      `writeDemoClips: expected ffmpeg to write "${join(inside, '00000-bouncing-ball.mp4')}", got exit code 1 ` +
        "(Unknown encoder 'libx264'). Try: an ffmpeg with libx264 and free disk space.",
    );
  });

  it.each([
    [{ clips: 0 }, 'clips to be an integer from 1 to 100000, got 0'],
    [{ clips: Number.NaN }, 'clips to be an integer from 1 to 100000, got NaN'],
    [{ size: 63 }, 'size / 2 to be an integer from 32 to 256, got 31.5'],
  ])('refuses %j', async (change, message) => {
    const run = writeDemoClips({ folder, clips: 1, uniforms, ...change });
    await expect(run).rejects.toThrow(`writeDemoClips: expected ${message}.`);
  });
});
