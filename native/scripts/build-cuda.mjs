// SPDX-License-Identifier: Apache-2.0
// `npm run build:cuda`: the CUDA kernels' tests on the emulator and, where nvcc is, the device library, in native/build-cuda.
// `--sanitize address,undefined` builds the tests alone, with sanitizers, in native/build-cuda-sanitize; `--races` with the emulator's search for
// accesses that nothing orders, in native/build-cuda-races. `--test` runs the tests besides.
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
export function buildCuda({ sanitize = '', races = false, test = false, stdio = 'inherit' } = {}) {
  if (races && sanitize !== '') {
    return 'build:cuda: expected --sanitize or --races, got both. Try: one after the other';
  }
  const missing = missingPackages();
  if (missing.length > 0) {
    return `build:cuda: expected cmake, make and a C++20 compiler, got no ${missing.join(', ')}. Try: apt-get install ${missing.join(' ')}`;
  }
  const kind = races ? '-races' : sanitize === '' ? '' : '-sanitize';
  const out = join(folder, `build-cuda${kind}`);
  const device = kind === '' && hasNvcc();
  const run = (...args) => spawnSync('cmake', args, { stdio }).status === 0;
  const options = {
    DIFFMAVIL_WERROR: 'ON',
    DIFFMAVIL_SANITIZE: sanitize,
    DIFFMAVIL_RACES: races ? 'ON' : 'OFF',
    DIFFMAVIL_CUDA: device ? 'ON' : 'OFF',
  };
  const given = Object.entries(options).map(([name, value]) => `-D${name}=${value}`);
  const configured = run('-S', join(folder, 'cuda'), '-B', out, ...given);
  if (!configured) return 'build:cuda: expected cmake to configure native/cuda, got an error';
  const jobs = process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(availableParallelism());
  if (!run('--build', out, '--parallel', jobs)) {
    return 'build:cuda: expected native/cuda to compile, got an error';
  }
  if (!test) return null;
  const tested = spawnSync('ctest', ['--test-dir', out, '--output-on-failure', '-j', jobs], {
    stdio,
  });
  return tested.status === 0
    ? null
    : `build:cuda: expected every test of ${out} to pass, got one that fails`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      sanitize: { type: 'string', default: '' },
      races: { type: 'boolean', default: false },
      test: { type: 'boolean', default: false },
    },
  });
  const problem = buildCuda(values);
  if (problem !== null) {
    process.stderr.write(`${problem}\n`);
    process.exitCode = 1;
  }
}
