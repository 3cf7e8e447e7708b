// SPDX-License-Identifier: Apache-2.0
// `npm run build:cuda`: the CUDA kernels' tests on the emulator and, where nvcc is, the device library, in native/build-cuda.
// `--sanitize address,undefined` builds the tests alone, with sanitizers, in native/build-cuda-sanitize.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingPackages } from './requirements.mjs';

const folder = dirname(dirname(fileURLToPath(import.meta.url)));

/** Whether the CUDA compiler is there: as nvcc, or where CUDACXX says. */
export function hasNvcc() {
  return spawnSync(process.env.CUDACXX ?? 'nvcc', ['--version']).status === 0;
}

/**
 * Builds native/cuda.
 *
 * @returns the sentence that says what is wrong, or null when it is built.
 */
export function buildCuda({ sanitize = '', stdio = 'inherit' } = {}) {
  const missing = missingPackages();
  if (missing.length > 0) {
    return `build:cuda: expected cmake, make and a C++20 compiler, got no ${missing.join(', ')}. Try: apt-get install ${missing.join(' ')}`;
  }
  const out = join(folder, sanitize === '' ? 'build-cuda' : 'build-cuda-sanitize');
  const device = sanitize === '' && hasNvcc();
  const run = (...args) => spawnSync('cmake', args, { stdio }).status === 0;
  const options = {
    DIFFMAVIL_WERROR: 'ON',
    DIFFMAVIL_SANITIZE: sanitize,
    DIFFMAVIL_CUDA: device ? 'ON' : 'OFF',
  };
  const given = Object.entries(options).map(([name, value]) => `-D${name}=${value}`);
  const configured = run('-S', join(folder, 'cuda'), '-B', out, ...given);
  if (!configured) return 'build:cuda: expected cmake to configure native/cuda, got an error';
  const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(availableParallelism());
  if (run('--build', out, '--parallel', jobs)) return null;
  return 'build:cuda: expected native/cuda to compile, got an error';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { sanitize: { type: 'string', default: '' } } });
  const problem = buildCuda(values);
  if (problem !== null) {
    process.stderr.write(`${problem}\n`);
    process.exitCode = 1;
  }
}
