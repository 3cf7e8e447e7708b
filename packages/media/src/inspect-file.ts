// SPDX-License-Identifier: Apache-2.0
// What can be said about a file before any decoder sees it: is it there, is it a file, what does it begin like.

import { open, type FileHandle } from 'node:fs/promises';

import { MediaError, shown } from './media-error.ts';

export interface FileFacts {
  readonly sizeBytes: number;
  /** The container the first bytes belong to; null when they belong to none we know. */
  readonly container: string | null;
}

/** [name, offset, bytes in latin1] of containers that cannot be mistaken for something else. */
const signatures: readonly (readonly [string, number, string])[] = [
  ['mp4', 4, 'ftyp'],
  ['mp4', 4, 'moov'],
  ['mp4', 4, 'mdat'],
  ['matroska', 0, '\x1a\x45\xdf\xa3'],
  ['ogg', 0, 'OggS'],
  ['wav or avi', 0, 'RIFF'],
  ['flac', 0, 'fLaC'],
  ['flv', 0, 'FLV\x01'],
  ['mp3', 0, 'ID3'],
  ['asf', 0, '\x30\x26\xb2\x75'],
  ['mpeg', 0, '\x00\x00\x01\xba'],
];

/**
 * Opens, measures and reads the first bytes. `where` names the caller in errors.
 * @throws MediaError `missing`, `directory`, `unreadable`, `empty`, `bad-option`
 */
export async function inspectFile(where: string, path: string): Promise<FileFacts> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new MediaError(
      'bad-option',
      '',
      `${where}: expected the path of a file, got ${shown(path)}.`,
    );
  }
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw openFault(where, path, error as NodeJS.ErrnoException);
  }
  try {
    const facts = await file.stat();
    if (facts.isDirectory()) throw refused(where, 'directory', path, 'a directory');
    if (!facts.isFile()) throw refused(where, 'unreadable', path, 'a device, pipe or socket');
    if (facts.size === 0) throw refused(where, 'empty', path, 'an empty file');
    const head = Buffer.alloc(16);
    await file.read(head, 0, 16, 0);
    return { sizeBytes: facts.size, container: containerOf(head) };
  } finally {
    await file.close();
  }
}

function containerOf(head: Buffer): string | null {
  const text = head.toString('latin1');
  return signatures.find(([, offset, bytes]) => text.startsWith(bytes, offset))?.[0] ?? null;
}

function openFault(where: string, path: string, error: NodeJS.ErrnoException): MediaError {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    return refused(where, 'missing', path, 'nothing there');
  }
  if (error.code === 'EISDIR') return refused(where, 'directory', path, 'a directory');
  return refused(where, 'unreadable', path, error.code ?? error.message);
}

/** The sentence every refusal of a file begins with. */
export function refused(
  where: string,
  reason: MediaError['reason'],
  path: string,
  got: string,
): MediaError {
  return new MediaError(reason, path, `${where}: expected a clip at "${path}", got ${got}.`);
}
