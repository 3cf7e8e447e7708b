// SPDX-License-Identifier: Apache-2.0
// tfjs-core's published specs as one CommonJS file. They are ECMAScript modules without extensions, so Node cannot import them as they
// are; the bundle brings its own copy of tfjs-core, which shares the engine and the registries of the program through globals.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));

/** The entry: no gradients are registered here, so the specs test those that @diffmavil/core registers. */
function entry(backend: string): string {
  const environment = JSON.stringify([{ name: backend, backendName: backend, isDataSync: true }]);
  return `
    import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
    import { setTestEnvs } from '@tensorflow/tfjs-core/dist/jasmine_util';
    setTestEnvs(${environment});
    require('@tensorflow/tfjs-core/dist/tests'); // after setTestEnvs
  `;
}

/**
 * Bundles the specs for a backend.
 *
 * @returns the path of the bundle, to be `require`d while jasmine's globals are in place.
 */
export async function bundleSpecs(backend: string): Promise<string> {
  const outfile = join(here, 'generated', `tfjs-specs-${backend}.cjs`);
  await build({
    stdin: { contents: entry(backend), resolveDir: here },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    external: ['jasmine-core'],
    // tfjs-core declares its files free of side effects, which would drop every spec.
    ignoreAnnotations: true,
    outfile,
    logLevel: 'error',
  });
  return createRequire(import.meta.url).resolve(outfile);
}
