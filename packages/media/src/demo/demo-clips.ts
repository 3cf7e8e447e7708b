// SPDX-License-Identifier: Apache-2.0
// Writes labelled clips made from nothing but the program, so that a first run needs no data set. In every class the
// sound follows the picture, in time and in pitch or loudness; colours, backdrop, size, place, tempo and level vary.

import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { findFfmpeg } from '../find-ffmpeg.ts';
import { checkNumber, MediaError, shown } from '../media-error.ts';
import { throwIfStopped } from '../probe-clip.ts';
import { runProgram } from '../run-program.ts';
import type { Canvas } from './canvas.ts';
import { drawLook, paintBackdrop, type Scene } from './stage.ts';
import { bouncingBall, metronome, rain, speaker } from './struck-scenes.ts';
import { bird, firework, rotor, siren } from './sustained-scenes.ts';
import { createTrack, finish } from './track.ts';
import { train, zipper } from './travelling-scenes.ts';

const scenes: Readonly<Record<string, Scene>> = {
  'bouncing-ball': bouncingBall,
  metronome,
  rotor,
  siren,
  rain,
  speaker,
  bird,
  train,
  zipper,
  firework,
};

/** The ten classes, in the order clips take turns in: clip i shows `demoLabels[i % 10]`. */
export const demoLabels: readonly string[] = Object.keys(scenes);

export interface DemoClip {
  /** Path relative to the folder. */
  readonly file: string;
  readonly label: string;
  readonly split: 'train' | 'test';
}

export interface DemoClipsOptions {
  /** Made when missing. */
  readonly folder: string;
  /** How many clips, 1..100000. Multiples of 10 are balanced; multiples of 40 have a quarter of each class in `test`. */
  readonly clips: number;
  /** The stream of draws (0 <= u < 1) that clip i is made from; the same streams give the same clips. */
  readonly uniforms: (clip: number) => () => number;
  /** Picture height in pixels, even, 64..512, default 160; the width is 4/3 of it, made even. */
  readonly size?: number;
  /** Called after each clip, kept ones too. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** The ffmpeg executable or its folder; see findFfmpeg. It must have libx264. */
  readonly ffmpeg?: string;
}

/** Seconds, frames per second and samples per second of every demo clip. */
export const demoFormat: {
  readonly seconds: 5;
  readonly frameRate: 12;
  readonly sampleRate: 16000;
} = { seconds: 5, frameRate: 12, sampleRate: 16000 };

const formatVersion = 1;
const concurrency = 2;

/**
 * Writes `00000-bouncing-ball.mp4`, … (H.264, AAC) and then `labels.csv` (`file,label,split`) into the folder. Each
 * file is written beside and renamed, so whatever has its final name is complete; a second call keeps those and writes
 * the rest. A folder begun with other settings or another stream of draws is refused.
 * @throws MediaError `bad-option`, `ffmpeg-missing`, `ffmpeg-failed`, `aborted`, `unreadable` (cannot write)
 */
export async function writeDemoClips(options: DemoClipsOptions): Promise<DemoClip[]> {
  const { folder, clips, size = 160, onProgress, signal } = options;
  checkNumber('writeDemoClips', 'clips', clips, { low: 1, high: 100_000, integer: true });
  checkNumber('writeDemoClips', 'size / 2', size / 2, { low: 32, high: 256, integer: true });
  const { ffmpeg } = findFfmpeg(options.ffmpeg);
  await prepareFolder(options, size);
  const rows = Array.from({ length: clips }, (_, clip) => rowOf(clip));
  let next = 0;
  let done = 0;
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const worker = async (): Promise<void> => {
    for (let clip = next++; clip < clips && !failed.signal.aborted; clip = next++) {
      const path = join(folder, rowOf(clip).file);
      if (!(await isFile(path))) await writeClip(ffmpeg, path, clip, { ...options, size }, stop);
      onProgress?.(++done, clips);
    }
  };
  // Both are waited for, also when one fails: nothing runs, and no temporary file is left, once this returns.
  await Promise.allSettled(
    Array.from({ length: concurrency }, () => worker().catch((e: unknown) => failed.abort(e))),
  );
  if (failed.signal.aborted) throw failed.signal.reason as Error;
  const lines = rows.map(({ file, label, split }) => `${file},${label},${split}\n`);
  await writeWhole(join(folder, 'labels.csv'), `file,label,split\n${lines.join('')}`);
  return rows;
}

function rowOf(clip: number): DemoClip {
  const turn = clip % demoLabels.length;
  const round = Math.floor(clip / demoLabels.length);
  const label = demoLabels[turn] ?? '';
  const file = `${String(clip).padStart(5, '0')}-${label}.mp4`;
  return { file, label, split: (round + turn) % 4 === 3 ? 'test' : 'train' }; // staggered: few clips still have both
}

/** Makes the folder, and keeps two different sets of clips from being mixed in it. */
async function prepareFolder({ folder, uniforms }: DemoClipsOptions, size: number): Promise<void> {
  const uniform = uniforms(0);
  const firstDraws = [uniform(), uniform()];
  const settings = JSON.stringify({ formatVersion, size, firstDraws });
  const path = join(folder, 'demo.json');
  let found = settings;
  try {
    await mkdir(folder, { recursive: true });
    found = await readFile(path, 'utf8').catch(() => '');
    if (found === '') await writeWhole(path, settings);
  } catch (error) {
    const got = (error as NodeJS.ErrnoException).code ?? shown(error);
    const message = `writeDemoClips: expected a folder to write into at "${folder}", got ${got}.`;
    throw new MediaError('unreadable', folder, message);
  }
  if (found === '' || found === settings) return;
  throw new MediaError(
    'bad-option',
    folder,
    `writeDemoClips: expected "${folder}" to be empty or begun with ${settings}, got ${found.slice(0, 200)}. ` +
      'Try: another folder.',
  );
}

/** One clip in memory: rgb24 frames and the waveform. */
export function renderDemoClip(
  clip: number,
  uniform: () => number,
  height: number,
): { frames: Uint8Array; width: number; height: number; waveform: Float32Array } {
  const { seconds, frameRate, sampleRate } = demoFormat;
  const width = Math.round((height * 2) / 3) * 2;
  const frameBytes = width * height * 3;
  const between = (low: number, high: number): number => low + (high - low) * uniform();
  const track = createTrack(seconds, sampleRate, uniform());
  const look = drawLook(between);
  const level = between(0.25, 0.9);
  const floor = 10 ** between(-3, -1.7);
  const backdrop: Canvas = { width, height, data: new Uint8Array(frameBytes) };
  paintBackdrop(backdrop, look.backdrop, uniform);
  const scene = scenes[demoLabels[clip % demoLabels.length] ?? ''] ?? bouncingBall;
  const draw = scene({ uniform, between, seconds, aspect: width / height, track, ...look });
  const frames = new Uint8Array(seconds * frameRate * frameBytes);
  for (let k = 0; k < seconds * frameRate; k++) {
    const data = frames.subarray(k * frameBytes, (k + 1) * frameBytes);
    data.set(backdrop.data);
    draw({ width, height, data }, k / frameRate);
  }
  finish(track, level, floor);
  return { frames, width, height, waveform: track.samples };
}

async function writeClip(
  ffmpeg: string,
  path: string,
  clip: number,
  options: DemoClipsOptions & { readonly size: number },
  signal: AbortSignal,
): Promise<void> {
  const timeoutMs = 60_000;
  const { frames, width, height, waveform } = renderDemoClip(
    clip,
    options.uniforms(clip),
    options.size,
  );
  const temporary = `${path}.${process.pid}.tmp`;
  const sound = new Uint8Array(waveform.buffer);
  const inputs = [
    { fd: 3, bytes: frames },
    { fd: 4, bytes: sound },
  ];
  try {
    const end = await runProgram(ffmpeg, encodeArguments(width, height, temporary), {
      inputs,
      timeoutMs,
      signal,
    });
    throwIfStopped('writeDemoClips', path, end, timeoutMs);
    if (end.exitCode !== 0 || !(await isFile(temporary))) {
      throw new MediaError(
        'ffmpeg-failed',
        path,
        `writeDemoClips: expected ffmpeg to write "${path}", got exit code ${end.exitCode} ` +
          `(${end.errorText.split('\n').at(-1) ?? ''}). Try: an ffmpeg with libx264 and free disk space.`,
      );
    }
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function encodeArguments(width: number, height: number, path: string): string[] {
  const { frameRate, sampleRate } = demoFormat;
  const picture = `-f rawvideo -pix_fmt rgb24 -s ${width}x${height} -framerate ${frameRate} -i pipe:3`;
  const sound = `-f f32le -ar ${sampleRate} -ac 1 -i pipe:4`;
  const video = `-c:v libx264 -preset ultrafast -crf 22 -pix_fmt yuv420p -g ${frameRate} -threads 1`;
  const exact = '-fflags +bitexact -flags:v +bitexact -flags:a +bitexact'; // no dates or versions in the file
  const command = `-nostdin -hide_banner -v error -y ${picture} ${sound} -map 0:0 -map 1:0 ${video}`;
  return [...`${command} -c:a aac -b:a 64k ${exact} -f mp4`.split(' '), `file:${path}`];
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}
