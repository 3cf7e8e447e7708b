// SPDX-License-Identifier: Apache-2.0
// ffmpeg and ffprobe: found where @diffmavil/media finds them, else installed with apt where that needs no password.
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { aptInstall } from './apt.mjs';
import { SetupError, findOnPath, isExecutable } from './stage.mjs';

const advice =
  "Try: 'apt-get install ffmpeg' as root, 'brew install ffmpeg', or set DIFFMAVIL_FFMPEG to the executable";

/** @returns {Promise<boolean>} Whether it had to be installed. */
export async function installFfmpeg() {
  if (hasFfmpeg()) return false;
  const installed = await aptInstall(['ffmpeg']).catch((cause) => {
    throw missing('none, and apt-get could not install them', { cause });
  });
  if (!installed) throw missing('none');
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

function missing(got, options) {
  return new SetupError(`setup: expected ffmpeg and ffprobe, got ${got}. ${advice}`, options);
}
