// SPDX-License-Identifier: Apache-2.0
// Where ffmpeg and ffprobe are: the caller's path, then DIFFMAVIL_FFMPEG, then PATH; and what this build of it can do.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

import { MediaError } from './media-error.ts';
import { runProgram } from './run-program.ts';

export interface FfmpegPaths {
  /** Absolute or caller-given path of the ffmpeg executable. */
  readonly ffmpeg: string;
  /** ffprobe, taken from the same folder, else from PATH. */
  readonly ffprobe: string;
}

const suffix = process.platform === 'win32' ? '.exe' : '';

/**
 * Finds the two executables. `path` names the ffmpeg executable or the folder that holds it; without it the environment
 * variable `DIFFMAVIL_FFMPEG` is read the same way, then the folders of `PATH` are searched.
 * A given path that leads nowhere is an error, never skipped.
 * @throws MediaError `ffmpeg-missing`
 */
export function findFfmpeg(path?: string): FfmpegPaths {
  const fromVariable = process.env['DIFFMAVIL_FFMPEG'];
  const given = path ?? (fromVariable === '' ? undefined : fromVariable);
  if (given !== undefined) {
    const source = path === undefined ? 'DIFFMAVIL_FFMPEG' : 'the option ffmpeg';
    const ffmpeg = isFolder(given) ? join(given, `ffmpeg${suffix}`) : given;
    if (!isExecutable(ffmpeg))
      throw missing('ffmpeg', `nothing executable at "${given}" (${source})`);
    const beside = join(dirname(ffmpeg), `ffprobe${suffix}`);
    return { ffmpeg, ffprobe: isExecutable(beside) ? beside : onPath('ffprobe') };
  }
  const ffmpeg = onPath('ffmpeg');
  const beside = join(dirname(ffmpeg), `ffprobe${suffix}`);
  return { ffmpeg, ffprobe: isExecutable(beside) ? beside : onPath('ffprobe') };
}

const soxrByPath = new Map<string, Promise<boolean>>();

/** Whether this ffmpeg was built with the soxr resampler. Asked once per executable and process (about 50 ms). */
export function hasSoxr(ffmpeg: string): Promise<boolean> {
  const known = soxrByPath.get(ffmpeg);
  if (known !== undefined) return known;
  const asked = askSoxr(ffmpeg);
  soxrByPath.set(ffmpeg, asked);
  return asked;
}

async function askSoxr(ffmpeg: string): Promise<boolean> {
  const chunks: Buffer[] = [];
  await runProgram(ffmpeg, ['-hide_banner', '-v', 'error', '-buildconf'], {
    outputs: [{ fd: 1, accept: (chunk) => chunks.push(chunk) < 64 }],
    timeoutMs: 10_000,
  });
  return Buffer.concat(chunks).includes('--enable-libsoxr');
}

function onPath(program: string): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (folder === '') continue;
    const candidate = join(folder, program + suffix);
    if (isExecutable(candidate)) return candidate;
  }
  throw missing(program, 'none on PATH');
}

function missing(program: string, got: string): MediaError {
  return new MediaError(
    'ffmpeg-missing',
    '',
    `findFfmpeg: expected an ${program} executable, got ${got}. ` +
      'Try: apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path.',
  );
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
