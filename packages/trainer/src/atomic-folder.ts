// SPDX-License-Identifier: Apache-2.0
// Folders and files that are either complete or not there: written beside under a temporary name, flushed, then renamed.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { CheckpointError } from '@diffmavil/core';

/** Writes a folder of files atomically; an existing folder of that name is replaced. Throws CheckpointError with the system's reason. */
export function writeFolderAtomically(
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): void {
  const beside = temporaryName(folder);
  try {
    rmSync(beside, { recursive: true, force: true });
    mkdirSync(beside, { recursive: true });
    for (const [name, content] of Object.entries(files)) writeFlushed(join(beside, name), content);
    rmSync(folder, { recursive: true, force: true });
    renameSync(beside, folder);
    flush(dirname(folder));
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw new CheckpointError(
      `${folder}: expected to write ${Object.keys(files).length} files, got ${(error as Error).message}. Try: make room there; the checkpoint before it is whole`,
    );
  }
}

/** Writes one file atomically. */
export function writeFileAtomically(file: string, content: Uint8Array | string): void {
  const beside = temporaryName(file);
  try {
    writeFlushed(beside, content);
    renameSync(beside, file);
  } catch (error) {
    rmSync(beside, { force: true });
    throw new CheckpointError(`${file}: expected to write it, got ${(error as Error).message}`);
  }
}

/** Of this thread alone: two may write the same clip at once. */
function temporaryName(path: string): string {
  return `${path}.tmp-${process.pid}-${threadId}`;
}

function writeFlushed(file: string, content: Uint8Array | string): void {
  writeFileSync(file, content);
  flush(file);
}

function flush(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
