// SPDX-License-Identifier: Apache-2.0
// The native addon and its C++ tests, and the CUDA kernels and theirs: built when their sources are newer, with the Debian packages they need
// installed first where that takes no password. Everything works without them, slower, so a missing compiler is one line and never an end.
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasNvcc } from '../native/scripts/build-cuda.mjs';
import { missingPackages } from '../native/scripts/requirements.mjs';
import { aptInstall } from './apt.mjs';
import { root, runQuietly } from './stage.mjs';

const folder = join(root, 'native');
const addon = join(folder, 'build/Release/diffmavil.node');
/** Written when the C++ tests are built too. */
const testsStamp = join(folder, 'build/tests/built');
const sources = [
  'addon',
  'core',
  'cpu',
  'cuda/include',
  'include',
  'CMakeLists.txt',
  'package.json',
];

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
    if (tests) writeFileSync(testsStamp, '');
  } catch (error) {
    const [reason] = error.message.split('\n').slice(-1);
    process.stderr.write(`not built, going on with the JavaScript backends: ${reason} … `);
  }
  return true;
}

/** Where the tests of the CUDA kernels are built, and with what. */
const cudaBuilds = {
  'build-cuda': [],
  'build-cuda-sanitize': ['--sanitize', 'address,undefined'],
};

/**
 * The kernels of native/cuda: their tests on the emulator, plainly and with sanitizers, and with nvcc the device library. They are compiled for tests
 * only, so that an error of the compiler is one of ours.
 * @returns {Promise<boolean>} Whether something had to be done.
 */
export async function buildCudaTests() {
  if (process.env.DIFFMAVIL_NATIVE === 'off') return false;
  const stampOf = (build) => join(folder, build, 'built');
  const changed = Math.max(
    ...['cuda', 'core', 'include', 'tests'].map((name) => newest(join(folder, name))),
  );
  const stale = Object.entries(cudaBuilds).filter(([build]) => {
    const built = statSync(stampOf(build), { throwIfNoEntry: false })?.mtimeMs;
    return built === undefined || built < changed;
  });
  if (stale.length === 0) return false;
  const missing = missingPackages();
  if (missing.length > 0 && !(await aptInstall(missing))) {
    process.stderr.write(`not built: it needs ${missing.join(', ')} … `);
    return true;
  }
  if (!hasNvcc()) process.stderr.write('no nvcc, so the emulator alone … ');
  for (const [build, options] of stale) {
    await runQuietly(process.execPath, ['native/scripts/build-cuda.mjs', ...options]);
    writeFileSync(stampOf(build), '');
  }
  return true;
}

function isFresh(tests) {
  const since = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -1;
  const all = (names, built) => names.every((name) => newest(join(folder, name)) <= built);
  return all(sources, since(addon)) && (!tests || all([...sources, 'tests'], since(testsStamp)));
}

/** Time of the newest file of a folder, or of the file. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(...readdirSync(path).map((name) => newest(join(path, name))), 0);
}
