// SPDX-License-Identifier: Apache-2.0
// Bundles tfjs-core's gradient registrations into packages/core/generated. In Node the main file of tfjs-core registers no
// gradients, and its dist/register_all_gradients.js cannot be imported there (extensionless imports), so core ships this bundle;
// registries are process-global, so it serves whichever copy of tfjs-core the program uses.
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'packages/core/generated');
mkdirSync(folder, { recursive: true });
await build({
  stdin: {
    contents: `import '@tensorflow/tfjs-core/dist/register_all_gradients';`,
    resolveDir: root,
  },
  bundle: true,
  platform: 'neutral',
  format: 'esm',
  mainFields: ['module', 'main'],
  outfile: join(folder, 'tfjs-gradients.js'),
  legalComments: 'inline',
  logLevel: 'error',
});
