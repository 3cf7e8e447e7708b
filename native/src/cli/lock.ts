// SPDX-License-Identifier: Apache-2.0
// One build at a time: a file that names the process that builds. A file whose process has ended (it was killed, or the machine
// restarted) is taken over.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { DeviceError } from '@diffmavil/core';

interface Owner {
  readonly pid: number;
  readonly host: string;
}

/** Takes the lock. @returns What gives it back. @throws DeviceError while another process holds it. */
export function takeLock(file: string): () => void {
  for (;;) {
    if (create(file)) return () => rmSync(file, { force: true });
    const owner = readOwner(file);
    if (owner !== null && isAlive(owner)) {
      throw new DeviceError(
        `build: expected to be the only build, got process ${owner.pid} on ${owner.host} building too. ` +
          `Try: wait for it, or remove ${file} when it is none`,
      );
    }
    takeAway(file, owner);
  }
}

/** Makes the file with all its content at once; false when it exists. */
function create(file: string): boolean {
  const draft = `${file}.${process.pid}`;
  try {
    writeFileSync(draft, JSON.stringify({ pid: process.pid, host: hostname() }));
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Whether a process holds the lock. */
export function isLocked(file: string): boolean {
  const owner = readOwner(file);
  return owner !== null && isAlive(owner);
}

function readOwner(file: string): Owner | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Owner;
  } catch {
    return null;
  }
}

/** Processes of other machines, which may share the folder, count as alive. */
function isAlive({ pid, host }: Owner): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes the lock of a dead owner; puts back one that another process took meanwhile. */
function takeAway(file: string, dead: Owner | null): void {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
    const owner = readOwner(aside);
    if (owner?.pid !== dead?.pid && owner !== null && isAlive(owner)) linkSync(aside, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}
