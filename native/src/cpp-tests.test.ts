// SPDX-License-Identifier: Apache-2.0
// The C++ tests that `npm run build:native` builds beside the addon, once for each instruction set, and those of the CUDA kernels, which
// `npm run build:cuda` builds: on the emulator under three schedules, plainly and with sanitizers, and, where nvcc is, of what it compiled.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const folderOf = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Test programs of a build folder; none where they or ctest are missing. */
function programs(folder: string): string[] {
  try {
    const list = execFileSync('ctest', ['--test-dir', folder, '--show-only=json-v1'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { tests } = JSON.parse(list) as { readonly tests: readonly { readonly name: string }[] };
    // Named program-instruction set or program-order-schedule, but for the checks that run once.
    const program = (name: string): string => name.replace(/-(baseline|avx\w+|order-\d+)$/, '');
    return [...new Set(tests.map(({ name }) => program(name)))];
  } catch {
    return [];
  }
}

describe.each([
  { what: 'C++ tests', folder: folderOf('build') },
  { what: 'CUDA kernel tests', folder: folderOf('build-cuda') },
  { what: 'sanitized CUDA kernel tests', folder: folderOf('build-cuda-sanitize') },
])('$what', ({ what, folder }) => {
  const built = programs(folder);
  const note = built.length === 0 ? ` (skipped: the ${what} are not built)` : '';
  const names = built.length === 0 ? [`all of them${note}`] : built;

  it.skipIf(built.length === 0).each(names)(
    '%s',
    async (program) => {
      const args = ['--test-dir', folder, '-R', `^${program}(-|$)`, '-j2', '--output-on-failure'];
      const { stdout } = await promisify(execFile)('ctest', args).catch((error: unknown) => {
        throw new Error((error as { readonly stdout: string }).stdout);
      });
      expect(stdout).toContain('100% tests passed');
    },
    // The planted bugs take six minutes on two idle cores.
    1_500_000,
  );
});

describe('the CUDA compiler', () => {
  const library = `${folderOf('build-cuda')}/device/libdiffmavil_cuda.so`;
  const missing = !existsSync(library);
  const note = missing ? ' (skipped: nvcc is missing, so no kernel was compiled for a GPU)' : '';

  it.skipIf(missing)(`made the device library${note}`, () => {
    expect(programs(folderOf('build-cuda'))).toContain('cuda-registers');
  });
});
