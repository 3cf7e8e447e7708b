// SPDX-License-Identifier: Apache-2.0
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { decodeClip, type DecodedClip } from './decode-clip.ts';
import { probeClip } from './probe-clip.ts';
import { ffmpegRun, makeClip, temporaryFolder } from './test-clips.ts';
import { writeWav } from './wav.ts';

let folder = '';
const at = (name: string): string => join(folder, name);
const x264 = '-c:v libx264 -preset ultrafast -bf 2 -g 25 -crf 10 -c:a aac -b:a 128k';

beforeAll(async () => {
  folder = await temporaryFolder();
  await makeClip(at('clip.mp4'), 3, x264);
  await Promise.all([
    ffmpegRun('-i', [at('clip.mp4')], '-c copy', [at('clip.ts')]),
    ffmpegRun('-i', [at('clip.mp4')], '-c:v copy -c:a libopus', [at('clip.mkv')]),
    ffmpegRun(
      '-i',
      [at('clip.mp4')],
      '-itsoffset 0.5 -i',
      [at('clip.mp4')],
      '-map 0:v -map 1:a -c copy',
      [at('late.mp4')],
    ),
    ffmpegRun(
      '-i',
      [at('clip.mp4')],
      '-itsoffset 0.5 -i',
      [at('clip.mp4')],
      '-map 1:v -map 0:a -c copy',
      [at('late-picture.mp4')],
    ),
  ]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The numbers of the frames, read back from their levels (see countingFrames). */
function frameNumbers({ frames }: DecodedClip): number[] {
  const pixels = frames.height * frames.width * 3;
  return Array.from({ length: frames.frames }, (_, k) => {
    const level = frames.data[k * pixels + Math.floor(pixels / 6) * 3 + 1] ?? Number.NaN;
    return Math.round(((level * 219) / 255 + 0.3) / 2);
  });
}

/** Seconds since the container's start at which clicks are heard. */
function clickTimes({ waveform, sampleRate, startSeconds }: DecodedClip): number[] {
  const times: number[] = [];
  waveform.forEach((value, i) => {
    const seconds = startSeconds + i / sampleRate;
    if (Math.abs(value) > 0.3 && seconds - (times.at(-1) ?? -1) > 0.1) times.push(seconds);
  });
  return times;
}

const near = (times: readonly number[], expected: readonly number[], within: number): void => {
  expect(times.length).toBe(expected.length);
  times.forEach((t, i) => expect(Math.abs(t - (expected[i] ?? -1))).toBeLessThan(within));
};

describe('decodeClip', () => {
  it('gives every frame and sample of a whole clip, in its own size and rates', async () => {
    const clip = await decodeClip(at('clip.mp4'));
    expect(clip.frames).toMatchObject({ frames: 75, height: 48, width: 64 });
    expect(clip.frames.data.length).toBe(75 * 48 * 64 * 3);
    expect(clip).toMatchObject({ frameRate: 25, sampleRate: 44_100, decodeErrors: 0 });
    expect(clip.waveform.length).toBe(132_300);
    expect(clip.durationSeconds).toBeCloseTo(3, 6);
    expect(frameNumbers(clip)).toEqual(Array.from({ length: 75 }, (_, k) => k));
    near(
      clickTimes(clip),
      Array.from({ length: 12 }, (_, k) => k / 4),
      0.0005,
    );
  });

  it('cuts sound and picture by one clock, wherever the window starts', async () => {
    for (const startSeconds of [0.04, 0.5, 1.02, 2.2]) {
      const wishes = { startSeconds, durationSeconds: 0.6, frameRate: 5, sampleRate: 16_000 };
      const clip = await decodeClip(at('clip.mp4'), wishes);
      expect(clip.waveform.length).toBe(9600);
      const shown = [0, 0.2, 0.4].map((t) => Math.floor((startSeconds + t) * 25 + 0.06));
      expect(frameNumbers(clip)).toEqual(shown);
      const heard = Array.from({ length: 20 }, (_, k) => k / 4);
      near(
        clickTimes(clip),
        heard.filter((t) => t >= startSeconds && t < startSeconds + 0.6),
        0.0005,
      );
    }
  });

  it('finds the same moment in a container without an index, and with Opus run-up', async () => {
    for (const name of ['clip.ts', 'clip.mkv']) {
      const whole = await decodeClip(at(name), { durationSeconds: 2.9, sampleRate: 16_000 });
      const part = await decodeClip(at(name), {
        startSeconds: 1.6,
        durationSeconds: 1.2,
        sampleRate: 16_000,
      });
      expect(frameNumbers(part)).toEqual(frameNumbers(whole).slice(40, 70));
      const heard = clickTimes(whole).filter((t) => t >= 1.6 && t < 2.8);
      near(clickTimes(part), heard, 0.0015); // Matroska rounds to 1 ms
    }
  });

  it('starts the clock at the first Opus sample, not at the decoder run-up before it', async () => {
    const { leadSeconds, durationSeconds } = await probeClip(at('clip.mkv'));
    expect(leadSeconds).toBeLessThan(0.01);
    const clip = await decodeClip(at('clip.mkv'), { sampleRate: 16_000 });
    expect(clip.waveform.length).toBe(Math.round((durationSeconds ?? 0) * 16_000));
    near(clickTimes(clip).slice(0, 2), [0, 0.25], 0.0015);
  });

  it('gives silence before a late sound and repeats the first frame before a late picture', async () => {
    const sound = await decodeClip(at('late.mp4'), {
      durationSeconds: 0.9,
      frameRate: 5,
      sampleRate: 16_000,
    });
    expect(sound.waveform.subarray(0, 7200).every((v) => Math.abs(v) < 1e-4)).toBe(true);
    near(clickTimes(sound), [0.5, 0.75], 0.001);
    expect(frameNumbers(sound)).toEqual([0, 5, 10, 15, 20]);
    const picture = await decodeClip(at('late-picture.mp4'), {
      durationSeconds: 1,
      frameRate: 10,
      sampleRate: 16_000,
    });
    expect(frameNumbers(picture)).toEqual([0, 0, 0, 0, 0, 0, 2, 5, 7, 10]);
  });

  it('mixes to the mean of the channels and removes what a lower rate cannot hold', async () => {
    const left = "aevalsrc='0.5*sin(2*PI*1000*t)|0':s=44100:d=1";
    const high = 'sine=frequency=11000:sample_rate=44100:duration=1';
    await ffmpegRun('-f lavfi -i', [left], '-c:a pcm_s16le', [at('left.mkv')]);
    await ffmpegRun('-f lavfi -i', [high], '-c:a pcm_s16le', [at('high.mkv')]);
    const options = { streams: 'audio', sampleRate: 16_000 } as const;
    const { waveform } = await decodeClip(at('left.mkv'), options);
    expect(waveform.length).toBe(16_000);
    const middle = waveform.subarray(4000, 12_000);
    const mean = Math.sqrt(middle.reduce((s, v) => s + v * v, 0) / 8000);
    expect(Math.abs(mean - 0.25 / Math.SQRT2)).toBeLessThan(0.002);
    const alias = (await decodeClip(at('high.mkv'), options)).waveform.subarray(2000, 14_000);
    expect(Math.max(...alias.map(Math.abs))).toBeLessThan(1e-4); // -60 dB of the tone's 1/8
  });

  it('scales the shorter side, or crops the centre of a square', async () => {
    const thirds = 'color=red:s=96x32:d=0.2,drawbox=x=32:y=0:w=32:h=32:c=lime:t=fill';
    await ffmpegRun('-f lavfi -i', [thirds], '-c:v ffv1 -pix_fmt bgr0', [at('thirds.mkv')]);
    const scaled = await decodeClip(at('thirds.mkv'), { streams: 'video', shortSide: 16 });
    expect(scaled.frames).toMatchObject({ height: 16, width: 48 });
    const square = await decodeClip(at('thirds.mkv'), { streams: 'video', size: 16 });
    expect(square.frames).toMatchObject({ height: 16, width: 16 });
    const pixel = (clip: DecodedClip, row: number, column: number): number[] => {
      const first = (row * clip.frames.width + column) * 3;
      return [...clip.frames.data.subarray(first, first + 3)];
    };
    expect(pixel(scaled, 8, 4)[0]).toBeGreaterThan(250);
    expect(pixel(scaled, 8, 4)[1]).toBeLessThan(5);
    expect(pixel(square, 8, 8)).toEqual(pixel(scaled, 8, 24));
    expect(pixel(square, 8, 8)[1]).toBeGreaterThan(250);
  });

  it('turns the picture as the file asks', async () => {
    const half = 'color=black:s=64x48:d=0.2,drawbox=x=0:y=0:w=32:h=48:c=white:t=fill';
    await ffmpegRun('-f lavfi -i', [half], '-c:v libx264 -metadata:s:v rotate=90', [
      at('turned.mp4'),
    ]);
    const info = await probeClip(at('turned.mp4'));
    if (info.video?.rotation === 0) return; // an ffmpeg of another day writes the mark otherwise
    expect(info.video).toMatchObject({ rotation: 90, width: 48, height: 64 });
    const { frames } = await decodeClip(at('turned.mp4'), { streams: 'video' });
    expect(frames).toMatchObject({ width: 48, height: 64 });
    const level = (row: number): number => frames.data[(row * 48 + 24) * 3] ?? -1;
    expect([level(8) > 200, level(56) < 50]).toEqual([true, true]); // left became top: clockwise
  });

  it('asks no ffprobe when told what it would say, and decodes one part alone', async () => {
    const info = await probeClip(at('clip.mp4'));
    await copyFile(at('clip.mp4'), at('-odd name, with: signs %d.mp4'));
    const path = at('-odd name, with: signs %d.mp4');
    const sound = await decodeClip(path, { info, streams: 'audio', sampleRate: 8000 });
    expect(sound.frames).toEqual({ data: new Uint8Array(0), frames: 0, height: 0, width: 0 });
    expect(sound.waveform.length).toBe(Math.round((info.audio?.durationSeconds ?? 0) * 8000));
    const picture = await decodeClip(path, { info, streams: 'video', frameRate: 1 });
    expect([picture.waveform.length, picture.sampleRate, picture.frames.frames]).toEqual([0, 0, 3]);
  });

  it('reads a WAV for its sound without ffmpeg, at its own rate', async () => {
    const channels = [new Float32Array(8000).fill(0.5), new Float32Array(8000).fill(-0.25)];
    await writeFile(at('Sound.WAV'), writeWav(channels, 8000, { format: 'float32' }));
    const options = { streams: 'audio', sampleRate: 16_000, ffmpeg: '/nowhere' } as const;
    const clip = await decodeClip(at('Sound.WAV'), {
      ...options,
      startSeconds: 0.25,
      durationSeconds: 0.5,
    });
    expect(clip).toMatchObject({ sampleRate: 8000, startSeconds: 0.25, durationSeconds: 0.5 });
    expect(clip.waveform).toEqual(new Float32Array(4000).fill(0.125));
    await expect(decodeClip(at('Sound.WAV'), { ...options, startSeconds: 1 })).rejects.toThrow(
      `decodeClip: expected startSeconds before the end of "${at('Sound.WAV')}" at 1 s, got 1.`,
    );
  });

  it('holds no memory after 200 decodes', async () => {
    // The program is a shell script that delivers the bytes of 100 frames and 4 s: what is measured is this process.
    const program = '#!/bin/sh\nhead -c 921600 /dev/zero\nhead -c 705600 /dev/zero >&3\n';
    await writeFile(at('ffmpeg'), program, { mode: 0o755 });
    const probed = await probeClip(at('clip.mp4'));
    const stretch = <T extends object>(stream: T | null): T | null =>
      stream && { ...stream, startSeconds: 0, durationSeconds: 4 };
    const info = { ...probed, video: stretch(probed.video), audio: stretch(probed.audio) };
    const decode = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const clip = await decodeClip(at('clip.mp4'), { info, ffmpeg: at('ffmpeg') });
        expect([clip.frames.frames, clip.waveform.length]).toEqual([100, 176_400]);
      }
    };
    await Promise.all([decode(20), decode(20)]);
    const before = process.memoryUsage().rss;
    await Promise.all([decode(100), decode(100)]);
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 2 ** 20); // a leak of all would be 325 MB
  });
});
