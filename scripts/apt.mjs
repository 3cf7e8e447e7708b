// SPDX-License-Identifier: Apache-2.0
// Debian packages, where installing them needs no password.
import { findOnPath, runQuietly } from './stage.mjs';

/**
 * Installs packages with apt-get.
 * @param {readonly string[]} packages
 * @returns {Promise<boolean>} False when that is not possible here: no apt-get, or a password would be needed.
 * @throws SetupError when apt-get fails.
 */
export async function aptInstall(packages) {
  const administrator = await administratorPrefix();
  if (administrator === null || findOnPath('apt-get') === null) return false;
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
  await apt('update', '-qq').catch(() => undefined); // one unreachable source is no reason to give up
  await apt('install', '-y', '-qq', '--no-install-recommends', ...packages);
  return true;
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
