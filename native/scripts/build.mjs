// SPDX-License-Identifier: Apache-2.0
// `npm run build:native`: configures and builds native/build/Release/diffmavil.node with cmake-js.
// `--sanitize address,undefined` builds native/build-sanitize instead, with the C++ tests of CI's flags; `--guard` builds
// native/build-guard, where every buffer ends at a page that nobody may touch.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingPackages } from './requirements.mjs';

const folder = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Builds the addon.
 *
 * @returns the sentence that says what is wrong, or null when the addon is there.
 */
export function buildNative({
  sanitize = '',
  guard = false,
  werror = false,
  tests = true,
  stdio = 'inherit',
} = {}) {
  const missing = missingPackages();
  if (missing.length > 0) {
    return `build:native: expected cmake, make and a C++20 compiler, got no ${missing.join(', ')}. Try: apt-get install ${missing.join(' ')}`;
  }
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const out = join(folder, guard ? 'build-guard' : sanitize === '' ? 'build' : 'build-sanitize');
  const options = [
    `--CDDIFFMAVIL_SANITIZE=${sanitize}`,
    `--CDDIFFMAVIL_GUARD_PAGES=${guard ? 'ON' : 'OFF'}`,
    `--CDDIFFMAVIL_WERROR=${werror ? 'ON' : 'OFF'}`,
    // A published package has none.
    `--CDDIFFMAVIL_TESTS=${existsSync(join(folder, 'tests')) ? 'ON' : 'OFF'}`,
  ];
  const env = { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()), ...process.env };
  const run = (verb, ...more) => {
    const args = [cmakeJs, verb, '--directory', folder, '--out', out, ...more];
    const { status } = spawnSync(process.execPath, args, { cwd: folder, stdio, env });
    return status === 0
      ? null
      : `build:native: expected cmake-js ${verb} to pass, got exit code ${status}`;
  };
  return run('configure', ...options) ?? run('build', ...(tests ? [] : ['--target', 'diffmavil']));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      sanitize: { type: 'string', default: '' },
      guard: { type: 'boolean', default: false },
      werror: { type: 'boolean', default: false },
      'addon-only': { type: 'boolean', default: false },
    },
  });
  const problem = buildNative({ ...values, tests: !values['addon-only'] });
  if (problem !== null) {
    process.stderr.write(`${problem}\n`);
    process.exitCode = 1;
  }
}
