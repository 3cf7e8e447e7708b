// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native clean`: removes what `build` has written, of every version.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DeviceError } from '@diffmavil/core';
import { cacheRoot } from '../cache.ts';
import { lockFile } from './build-folder.ts';
import { isLocked } from './lock.ts';

/** Removes cached addons, device libraries and leftovers of builds. @returns What was removed. @throws DeviceError while a build is going on. */
export function cleanCache(environment: NodeJS.ProcessEnv): string[] {
  const root = cacheRoot(environment);
  if (!existsSync(root)) return [];
  if (isLocked(join(root, lockFile)))
    throw new DeviceError(
      `clean: expected no build, got one going on. Try: when it has ended, or remove ${join(root, lockFile)}`,
    );
  const names = readdirSync(root).filter((name) => name.startsWith('native-'));
  for (const name of names) rmSync(join(root, name), { recursive: true, force: true });
  return names.map((name) => join(root, name));
}
