// SPDX-License-Identifier: Apache-2.0
// Small clips for the tests of this folder, made by ffmpeg itself. Not exported by the package.

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findFfmpeg } from './find-ffmpeg.ts';
import { runProgram } from './run-program.ts';

/** 64 x 48, 25 fps: the green level of frame n is 16 + 2n in limited range, so a frame tells its number. */
export const countingFrames = (seconds: number): string =>
  `color=black:s=64x48:r=25:d=${seconds},format=gray,geq=lum='16+2*N'`;

/** A 1 ms click at every quarter second. */
export const clicks = (seconds: number, rate: number = 44_100): string =>
  `aevalsrc='if(lt(mod(t,0.25),0.001),0.8,0)':s=${rate}:d=${seconds}`;

export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'diffmavil-media-'));
}

/** Runs ffmpeg on words; an array element is kept whole. Throws with its words when it fails. */
export async function ffmpegRun(...args: readonly (string | readonly [string])[]): Promise<void> {
  const words = args.flatMap((a) => (typeof a === 'string' ? a.split(' ') : [a[0]]));
  const end = await runProgram(findFfmpeg().ffmpeg, ['-nostdin', '-v', 'error', '-y', ...words], {
    timeoutMs: 60_000,
  });
  if (end.exitCode !== 0) throw new Error(`ffmpeg ${words.join(' ')}: ${end.errorText}`);
}

/** Counting frames and clicks in one file. */
export function makeClip(path: string, seconds: number, how: string): Promise<void> {
  const inputs = [
    '-f lavfi -i',
    [countingFrames(seconds)],
    '-f lavfi -i',
    [clicks(seconds)],
  ] as const;
  return ffmpegRun(...inputs, how, [path]);
}
