// SPDX-License-Identifier: Apache-2.0
// The native addon and its C++ tests: built when their sources are newer, with its Debian packages installed first where that needs no password.
// Everything works without it, slower, so what stands in the way is one line and never an end.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { missingPackages } from '../native/scripts/requirements.mjs';
import { aptInstall } from './apt.mjs';
import { root, runQuietly } from './stage.mjs';

const folder = join(root, 'native');
const addon = join(folder, 'build/Release/diffmavil.node');
const sources = ['addon', 'core', 'cpu', 'include', 'CMakeLists.txt', 'package.json'];

/**
 * @param {{tests?: boolean}} options Whether the C++ tests are wanted too.
 * @returns {Promise<boolean>} Whether something had to be done.
 */
export async function buildAddon({ tests = true } = {}) {
  if (process.env.DIFFMAVIL_NATIVE === 'off' || isFresh(tests)) return false;
  try {
    const missing = missingPackages();
    if (missing.length > 0 && !(await aptInstall(missing)))
      throw new Error(`it needs ${missing.join(', ')}`);
    const options = tests ? [] : ['--addon-only'];
    await runQuietly(process.execPath, ['native/scripts/build.mjs', ...options]);
  } catch (error) {
    const [reason] = error.message.split('\n').slice(-1);
    process.stderr.write(`not built, going on with the JavaScript backends: ${reason} … `);
  }
  return true;
}

function isFresh(tests) {
  const built = statSync(addon, { throwIfNoEntry: false })?.mtimeMs;
  const fresh = (name, than) => newest(join(folder, name)) <= than;
  return (
    built !== undefined &&
    sources.every((name) => fresh(name, built)) &&
    (!tests || fresh('tests', newest(join(folder, 'build/tests'))))
  );
}

/** Time of the newest file of a folder, or of the file. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(...readdirSync(path).map((name) => newest(join(path, name))), 0);
}
