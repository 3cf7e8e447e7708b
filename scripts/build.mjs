// SPDX-License-Identifier: Apache-2.0
// `npm run build`: tfjs's gradients bundled for core, then every package compiled. `tsc -b` follows the project references, compiles only
// what changed, and costs a fraction of a second when nothing did.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, runMain, runQuietly, stage } from './stage.mjs';

const bundleScript = 'scripts/bundle-gradients.mjs';
const tfjsManifest = 'node_modules/@tensorflow/tfjs-core/package.json';
const bundle = 'packages/core/generated/tfjs-gradients.js';

/** Builds what is not up to date. */
export async function buildPackages() {
  await bundleGradients();
  await runQuietly(process.execPath, [
    'node_modules/typescript/bin/tsc',
    '-b',
    '--pretty',
    'false',
  ]);
}

/** Made again when the script or the version of tfjs-core changed; a stamp beside the bundle says what it was made of. */
async function bundleGradients() {
  const hash = createHash('sha256');
  for (const file of [bundleScript, tfjsManifest]) hash.update(readFileSync(join(root, file)));
  const wanted = hash.digest('hex');
  const stamp = join(root, dirname(bundle), '.made-of');
  const current = existsSync(join(root, bundle)) && existsSync(stamp);
  if (current && readFileSync(stamp, 'utf8') === wanted) return;
  await runQuietly(process.execPath, [bundleScript]);
  writeFileSync(stamp, wanted);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await runMain(() => stage('build', buildPackages));
