// SPDX-License-Identifier: Apache-2.0
// Decoded clips, optionally kept in a folder so that each is decoded once. What is kept depends on the file (path, size, time) and the
// decoding request only, so every run and stage with the same request shares it; with and without the folder the values are the same.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { type DecodeOptions, type DecodedClip, MediaError, decodeClip } from '@diffmavil/media';
import { writeFileAtomically } from '../atomic-folder.ts';

/** What the trainer asks of the decoder; part of the kept file's name. */
export type DecodeRequest = Pick<
  DecodeOptions,
  'durationSeconds' | 'frameRate' | 'shortSide' | 'sampleRate' | 'streams'
>;

/**
 * Decodes a clip, or reads it from `cacheFolder`.
 * @throws MediaError naming the file and the reason.
 */
export async function openClip(
  path: string,
  request: DecodeRequest,
  cacheFolder: string | null,
): Promise<DecodedClip> {
  const kept = cacheFolder === null ? null : join(cacheFolder, `${cacheKey(path, request)}.clip`);
  const cached = kept === null ? null : readKept(kept);
  if (cached !== null) return cached;
  const clip = await decodeClip(path, request);
  if (kept !== null) {
    mkdirSync(join(cacheFolder!), { recursive: true });
    writeFileAtomically(kept, serialize(clip));
  }
  return clip;
}

function cacheKey(path: string, request: DecodeRequest): string {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined)
    throw new MediaError('missing', path, `${path}: expected a clip, got no such file`);
  const identity = [resolve(path), info.size, info.mtimeMs, request];
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
}

/** The kept clip, or null where there is none or it was damaged (it is then decoded again). */
function readKept(file: string): DecodedClip | null {
  if (!existsSync(file)) return null;
  try {
    return deserialize(readFileSync(file)) as DecodedClip;
  } catch {
    return null;
  }
}
