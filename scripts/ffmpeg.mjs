// SPDX-License-Identifier: Apache-2.0
// ffmpeg and ffprobe: found where @diffmavil/media finds them, else installed with apt where that needs no password.
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SetupError, findOnPath, isExecutable, runQuietly } from './stage.mjs';

const advice =
  "Try: 'apt-get install ffmpeg' as root, 'brew install ffmpeg', or set DIFFMAVIL_FFMPEG to the executable";

/** @returns {Promise<boolean>} Whether it had to be installed. */
export async function installFfmpeg() {
  if (hasFfmpeg()) return false;
  const administrator = await administratorPrefix();
  if (administrator === null || findOnPath('apt-get') === null) throw missing('none');
  const apt = (...args) => {
    const [program, ...rest] = [
      ...administrator,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-o',
      'DPkg::Lock::Timeout=120',
      ...args,
    ];
    return runQuietly(program, rest);
  };
  try {
    await apt('update', '-qq').catch(() => undefined); // one unreachable source is no reason to give up
    await apt('install', '-y', '-qq', '--no-install-recommends', 'ffmpeg');
  } catch (error) {
    throw missing('none, and apt-get could not install them', { cause: error });
  }
  if (!hasFfmpeg()) throw missing('none after apt-get install ffmpeg');
  return true;
}

/** Reads DIFFMAVIL_FFMPEG as @diffmavil/media does: the executable, or the folder that holds it. */
function hasFfmpeg() {
  const given = process.env.DIFFMAVIL_FFMPEG;
  if (given === undefined || given === '')
    return findOnPath('ffmpeg') !== null && findOnPath('ffprobe') !== null;
  const isFolder = statSync(given, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const ffmpeg = isFolder ? join(given, 'ffmpeg') : given;
  if (!isExecutable(ffmpeg)) throw missing(`nothing executable at DIFFMAVIL_FFMPEG=${given}`);
  return isExecutable(join(dirname(ffmpeg), 'ffprobe')) || findOnPath('ffprobe') !== null;
}

/** What to put before a command to run it as root without being asked for a password; null when that is not possible. */
async function administratorPrefix() {
  if (process.getuid?.() === 0) return [];
  if (findOnPath('sudo') === null) return null;
  try {
    await runQuietly('sudo', ['-n', 'true']);
    return ['sudo', '-n'];
  } catch {
    return null;
  }
}

function missing(got, options) {
  return new SetupError(`setup: expected ffmpeg and ffprobe, got ${got}. ${advice}`, options);
}
