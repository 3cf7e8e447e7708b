// SPDX-License-Identifier: Apache-2.0
// `npm run lint`: type-aware lint, formatting, and the manifests of the packages that are published.
import { pathToFileURL } from 'node:url';
import { publicPackages } from './packages.mjs';
import { SetupError, runMain, runQuietly, stage } from './stage.mjs';

const bin = (name) => `node_modules/.bin/${name}`;

/** @throws SetupError with the findings of the first check that has any. */
export async function lint() {
  await stage('lint', () => check(bin('oxlint'), '--deny-warnings'));
  await stage('format', () => check(bin('oxfmt'), '--check', '.'));
  await stage('publint', async () => {
    for (const folder of publicPackages())
      await check(bin('publint'), 'run', folder, '--strict', '--pack', 'npm');
  });
}

async function check(program, ...args) {
  try {
    await runQuietly(program, args);
  } catch (error) {
    throw new SetupError(error.message.replace(/^setup: /m, 'lint: '), { cause: error });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await runMain(lint);
