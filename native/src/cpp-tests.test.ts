// SPDX-License-Identifier: Apache-2.0
// The C++ tests that `npm run build:native` builds beside the addon, once for each instruction set.
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../build', import.meta.url));

/** Test programs; none where they or ctest are missing. */
function programs(): string[] {
  try {
    const list = execFileSync('ctest', ['--test-dir', folder, '--show-only=json-v1'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { tests } = JSON.parse(list) as { readonly tests: readonly { readonly name: string }[] };
    // Named program-instruction set, but for the check of symbols.
    return [...new Set(tests.map(({ name }) => name.replace(/-(baseline|avx\w+)$/, '')))];
  } catch {
    return [];
  }
}

const built = programs();
const note = built.length === 0 ? ' (skipped: the C++ tests are not built)' : '';

describe.skipIf(built.length === 0)(`C++ tests${note}`, () => {
  it.each(built.length === 0 ? ['of native/tests'] : built)('%s passes', async (program) => {
    const args = ['--test-dir', folder, '-R', `^${program}(-|$)`, '-j2', '--output-on-failure'];
    const { stdout } = await promisify(execFile)('ctest', args).catch((error: unknown) => {
      throw new Error((error as { readonly stdout: string }).stdout);
    });
    expect(stdout).toContain('100% tests passed');
  });
});
