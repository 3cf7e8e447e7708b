// SPDX-License-Identifier: Apache-2.0
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { decodeClip } from './decode-clip.ts';
import type { DecodeOptions } from './decode-plan.ts';
import { MediaError } from './media-error.ts';
import { probeClip } from './probe-clip.ts';
import { ffmpegRun, makeClip, temporaryFolder } from './test-clips.ts';

let folder = '';
const at = (name: string): string => join(folder, name);

/** Files by the program: `name`, the share of it to keep. */
async function cut(name: string, share: number, as: string): Promise<void> {
  const bytes = await readFile(at(name));
  await writeFile(at(as), bytes.subarray(0, Math.floor(bytes.length * share)));
}

/** A stand-in for ffmpeg and ffprobe: two shell scripts in a folder. */
async function programs(name: string, ffmpeg: string, ffprobe: string): Promise<string> {
  await mkdir(at(name));
  for (const [program, script] of [
    ['ffmpeg', ffmpeg],
    ['ffprobe', ffprobe],
  ] as const) {
    await writeFile(at(`${name}/${program}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return at(name);
}

beforeAll(async () => {
  folder = await temporaryFolder();
  const how = '-c:v libx264 -preset ultrafast -g 25 -crf 10 -c:a aac -b:a 128k';
  await makeClip(at('end.mp4'), 4, how);
  await ffmpegRun('-i', [at('end.mp4')], '-c copy -movflags +faststart', [at('front.mp4')]);
  await ffmpegRun('-i', [at('end.mp4')], '-c:v copy -c:a libvorbis', [at('whole.webm.mkv')]);
  await ffmpegRun('-i', [at('end.mp4')], '-c copy -an', [at('silent.mp4')]);
  await ffmpegRun('-i', [at('end.mp4')], '-c copy -vn', [at('blind.m4a')]);
  await cut('end.mp4', 0.6, 'end-cut.mp4');
  await cut('front.mp4', 0.5, 'front-cut.mp4');
  await cut('whole.webm.mkv', 0.5, 'cut.mkv');
  await writeFile(at('empty.mp4'), '');
  await writeFile(at('words.mp4'), 'these are words, not a film\n'.repeat(100));
  await writeFile(at('words.txt'), 'these are words, not a film\n'.repeat(100));
  await writeFile(
    at('list.m3u8'),
    '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nend.mp4\n#EXT-X-ENDLIST\n',
  );
  let state = 1;
  const noise = Uint8Array.from({ length: 50_000 }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
  await writeFile(at('noise.mp4'), noise);
  await writeFile(at('noise.bin'), noise);
  await ffmpegRun('-f lavfi -i', ['color=red:s=32x32:d=1'], '-frames:v 1', [at('still.png')]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fault(name: string, options: DecodeOptions = {}): Promise<string> {
  try {
    await decodeClip(at(name), options);
  } catch (error) {
    if (!(error instanceof MediaError)) throw error;
    return `${error.reason}: ${error.message.replaceAll(`${folder}/`, '')}`;
  }
  return 'no error';
}

describe('decodeClip refuses', () => {
  it.each([
    ['gone.mp4', 'missing: decodeClip: expected a clip at "gone.mp4", got nothing there.'],
    ['.', 'directory: decodeClip: expected a clip at ".", got a directory.'],
    ['empty.mp4', 'empty: decodeClip: expected a clip at "empty.mp4", got an empty file.'],
    [
      'words.mp4',
      'not-media: decodeClip: expected a clip at "words.mp4", got something ffmpeg cannot read.',
    ],
    [
      'words.txt',
      'not-media: decodeClip: expected a clip at "words.txt", got tty (text, a list or a still picture).',
    ],
    [
      'noise.mp4',
      'not-media: decodeClip: expected a clip at "noise.mp4", got something ffmpeg cannot read.',
    ],
    [
      'noise.bin',
      'not-media: decodeClip: expected a clip at "noise.bin", got something ffmpeg cannot read.',
    ],
    [
      'still.png',
      'not-media: decodeClip: expected a clip at "still.png", got png_pipe (text, a list or a still picture).',
    ],
    [
      'end-cut.mp4',
      'truncated: decodeClip: expected a clip at "end-cut.mp4", got the beginning of mp4 without its index.',
    ],
    [
      'silent.mp4',
      'no-audio: decodeClip: expected a clip with sound at "silent.mp4", got none. Try: streams: \'video\'.',
    ],
    [
      'blind.m4a',
      'no-video: decodeClip: expected a clip with pictures at "blind.m4a", got none. Try: streams: \'audio\'.',
    ],
  ])('%s', async (name, message) => {
    const path = name === '.' ? '' : name;
    expect((await fault(path)).replace(folder, '.')).toBe(message);
  });

  it('playlists, which could name any file or address', async () => {
    expect(await fault('list.m3u8')).toMatch(/^not-media: /);
  });

  it('a film whose data ends early, but not the part before the cut', async () => {
    const message = await fault('front-cut.mp4');
    expect(message).toMatch(
      /^truncated: decodeClip: expected 100 frames and 176400 samples from "front-cut.mp4", got \d+ frames and \d+ samples( \(ffmpeg: .*\))?\.$/,
    );
    expect(await fault('front-cut.mp4', { startSeconds: 3 })).toMatch(
      /^truncated: .* got 0 frames and 0 samples/,
    );
    const clip = await decodeClip(at('front-cut.mp4'), { durationSeconds: 0.8, frameRate: 10 });
    expect([clip.frames.frames, clip.waveform.length]).toEqual([8, 35_280]);
    expect(await fault('cut.mkv')).toMatch(/^truncated: /);
  });

  it.each([
    [{ startSeconds: Number.NaN }, 'startSeconds to be a number from 0 to 1000000000, got NaN'],
    [{ startSeconds: -1 }, 'startSeconds to be a number from 0 to 1000000000, got -1'],
    [{ durationSeconds: 0 }, 'durationSeconds to be a number from 0.000001 to 1000000000, got 0'],
    [{ frameRate: Number.NaN }, 'frameRate to be a number from 0.01 to 240, got NaN'],
    [{ frameRate: Infinity }, 'frameRate to be a number from 0.01 to 240, got Infinity'],
    [{ size: 1.5 }, 'size to be an integer from 1 to 8192, got 1.5'],
    [{ shortSide: 0 }, 'shortSide to be an integer from 1 to 8192, got 0'],
    [{ sampleRate: Number.NaN }, 'sampleRate to be an integer from 1000 to 384000, got NaN'],
    [{ timeoutMs: 0 }, 'timeoutMs to be a number from 1 to 2147483647, got 0'],
    [{ maxBytes: Number.NaN }, 'maxBytes to be a number from 1 to 4294967296, got NaN'],
    [{ threads: 0 }, 'threads to be an integer from 1 to 64, got 0'],
    [{ size: 8, shortSide: 8 }, 'shortSide or size, got both'],
    [{ streams: 'all' as 'both' }, "streams to be 'both', 'audio' or 'video', got \"all\""],
  ] as const)('the options %j', async (options, message) => {
    expect(await fault('end.mp4', options)).toBe(`bad-option: decodeClip: expected ${message}.`);
  });

  it('a path that is none', async () => {
    await expect(decodeClip('')).rejects.toThrow(
      'decodeClip: expected the path of a file, got "".',
    );
  });

  it('a start behind the end and more bytes than allowed', async () => {
    expect(await fault('end.mp4', { startSeconds: 4.5 })).toBe(
      'too-short: decodeClip: expected startSeconds before the end of "end.mp4" at 4 s, got 4.5.',
    );
    expect(await fault('end.mp4', { maxBytes: 1_000_000 })).toBe(
      'too-large: decodeClip: expected at most 1000000 decoded bytes of "end.mp4", got 1627200 bytes. ' +
        'Try: shortSide or size, a lower frameRate, durationSeconds, or a larger maxBytes.',
    );
  });

  it('to go on after an abort, before and while ffmpeg runs', async () => {
    const message = 'aborted: decodeClip: expected to finish "end.mp4", got an abort.';
    expect(await fault('end.mp4', { signal: AbortSignal.abort() })).toBe(message);
    const ffmpeg = await programs('slow', 'sleep 30', 'sleep 30');
    expect(await fault('end.mp4', { signal: AbortSignal.timeout(200), ffmpeg })).toBe(message);
  });

  it('an ffmpeg that hangs, is killed, or is not there', async () => {
    const info = await probeClip(at('end.mp4'));
    const stuck = await programs('stuck', 'sleep 30', 'sleep 30');
    const late = ' within 300 ms, got no end. Try: a larger timeoutMs.';
    const hung = await fault('end.mp4', { ffmpeg: stuck, timeoutMs: 300 });
    expect(hung).toBe(`timeout: decodeClip: expected "end.mp4"${late}`);
    const killed = await programs('killed', 'test "$5" = "-buildconf" || kill -9 $$', 'kill -9 $$');
    expect(await fault('end.mp4', { ffmpeg: killed, info })).toBe(
      'killed: decodeClip: expected ffmpeg to finish "end.mp4", got SIGKILL from outside. ' +
        'Try: check free memory.',
    );
    expect(await fault('end.mp4', { ffmpeg: '/nowhere', info })).toMatch(/^ffmpeg-missing: /);
  });

  it('an ffmpeg that says all is well and delivers nothing, or too much', async () => {
    const info = await probeClip(at('end.mp4'));
    const silent = await programs('silent', 'exit 0', 'exit 0');
    expect(await fault('end.mp4', { ffmpeg: silent, info })).toBe(
      'truncated: decodeClip: expected 100 frames and 176400 samples from "end.mp4", got 0 frames and 0 samples.',
    );
    const endless = await programs('endless', 'test "$4" = "-buildconf" || yes', 'exit 0');
    expect(await fault('end.mp4', { ffmpeg: endless, info })).toMatch(/^ffmpeg-failed: /);
  });
});

describe('decodeClip on damaged data', () => {
  it('counts what the decoders complain about and still checks the counts', async () => {
    const bytes = await readFile(at('front.mp4'));
    for (let i = Math.floor(bytes.length / 2); i < bytes.length - 2000; i += 97) bytes[i] = 0x5a;
    await writeFile(at('damaged.mp4'), bytes);
    const clip = await decodeClip(at('damaged.mp4'), { streams: 'video' });
    expect(clip.frames.frames).toBe(100);
    expect(clip.decodeErrors).toBeGreaterThan(0);
  });

  it('closes every file it opens', async () => {
    const before = await openFiles();
    for (let i = 0; i < 20; i++) await fault('empty.mp4');
    for (let i = 0; i < 3; i++) await fault('end-cut.mp4');
    expect(await openFiles()).toBeLessThanOrEqual(before + 1);
  });
});

/** The next free file descriptor tells how many are open. */
async function openFiles(): Promise<number> {
  const file = await open(at('end.mp4'));
  const { fd } = file;
  await file.close();
  return fd;
}
