// SPDX-License-Identifier: Apache-2.0
// `npm run setup`: everything `npm start` and `npm test` need on a fresh clone. Each stage looks first and does only what is missing, so
// running it again costs about a second. Node built-ins only.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildPackages } from './build.mjs';
import { installFfmpeg } from './ffmpeg.mjs';
import { buildAddon, buildCudaTests } from './native.mjs';
import { installPackages } from './packages.mjs';
import { SetupError, root, runMain, stage } from './stage.mjs';

/**
 * Packages, ffmpeg, build, and when they are wanted the native addon, its C++ tests and those of the CUDA kernels. One line per stage on the
 * error stream.
 * Ends the process with exit code 1 and one sentence when a person has to do something.
 */
export async function setup({ native = false, nativeTests = true } = {}) {
  try {
    checkNode(process.versions.node);
    await stage('packages', installPackages);
    await stage('ffmpeg', installFfmpeg);
    await stage('build', buildPackages);
    if (native) await stage('native addon', () => buildAddon({ tests: nativeTests }));
    if (native && nativeTests) await stage('CUDA kernels', buildCudaTests);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

/** @param {string} version As in `process.versions.node`. @throws SetupError when it is older than package.json allows. */
export function checkNode(version) {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const oldest = engines.node.replace('>=', '');
  const [have, need] = [version, oldest].map((text) => text.split('.').map(Number));
  const difference = need.map((part, i) => have[i] - part).find((part) => part !== 0) ?? 0;
  if (difference < 0)
    throw new SetupError(
      `setup: expected Node ${oldest} or later, got ${version}. Try: install the current release from nodejs.org`,
    );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await runMain(setup);
