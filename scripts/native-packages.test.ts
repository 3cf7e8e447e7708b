// SPDX-License-Identifier: Apache-2.0
// What a user gets: the tarballs of @diffmavil/native, its platform package and core, installed by npm in an empty project without network
// (other packages are copied from this repository's node_modules), and a program that computes there.
// Needs the packages and the addon built (npm test builds them first).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { npmPack, packNative, packPlatform } from '../native/scripts/pack-platform.mjs';
import { findOnPath, root } from './stage.mjs';

const built = existsSync(join(root, 'native/build/Release/diffmavil.node'));
const ours = process.platform === 'linux' && process.arch === 'x64';
const tools = ['c++', 'strip', 'objdump'];
const absent = tools.filter((name) => findOnPath(name) === null);
const licence = readFileSync(join(root, 'LICENSE'), 'utf8');
const why = !built
  ? 'the native addon is not built'
  : !ours
    ? 'no platform package for this machine'
    : absent.length > 0
      ? `no ${absent.join(', ')} to pack with`
      : null;

const program = `import * as tf from '@tensorflow/tfjs-core';
import { registerNative } from '@diffmavil/native';
registerNative();
await tf.setBackend('diffmavil-cpu');
console.log(tf.getBackend(), tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);
`;

let folder: string;
let packed: ReturnType<typeof packPlatform>;
const modules = (): string => join(folder, 'node_modules');

/** Variables that decide where an addon is looked for are not the developer's. */
function run(...args: readonly string[]): string {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(DIFFMAVIL_|NODE_OPTIONS|NODE_PATH|LD_)/.test(name),
  );
  const env = { ...Object.fromEntries(kept), XDG_CACHE_HOME: join(folder, 'cache') };
  return execFileSync(process.execPath, args, {
    cwd: folder,
    env,
    encoding: 'utf8',
    stdio: 'pipe',
  });
}

/** Folders of a package and everything that it depends on, as installed in the repository. */
function withDependencies(names: readonly string[], found = new Map<string, string>()): string[] {
  for (const name of names) {
    const place = join(root, 'node_modules', name);
    if (found.has(name)) continue;
    found.set(name, place);
    const manifest = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    withDependencies(Object.keys(manifest.dependencies ?? {}), found);
  }
  return [...found.values()];
}

function npm(...args: readonly string[]): void {
  const running = process.env['npm_execpath'];
  const [file, ...first] = running?.endsWith('npm-cli.js') ? [process.execPath, running] : ['npm'];
  execFileSync(file, [...first, ...args], { cwd: folder, stdio: 'pipe' });
}

describe.skipIf(why !== null)(
  `the packed native packages${why === null ? '' : ` (skipped: ${why})`}`,
  () => {
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'diffmavil-packages-'));
      packed = packPlatform({ out: folder });
      const tarballs = [
        packed.tarball,
        packNative({ platforms: [packed.name], out: folder }),
        npmPack(join(root, 'packages/core'), folder).filename,
      ];
      const others = withDependencies([
        '@tensorflow/tfjs-core',
        '@tensorflow/tfjs-backend-cpu',
        'node-api-headers',
      ]);
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true }));
      const options = [
        '--offline',
        '--install-links',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
      ];
      npm('install', ...options, ...tarballs, ...others);
      writeFileSync(join(folder, 'program.mjs'), program);
    }, 60_000);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('give a five-line program the addon of the platform package', () => {
      expect(run('program.mjs')).toBe('diffmavil-cpu 11\n');
    });

    it('carry the addon alone, and the licence', () => {
      const place = join(modules(), packed.name);
      const files = ['LICENSE', 'README.md', 'diffmavil.node', 'package.json'];
      expect(readdirSync(place).toSorted()).toEqual(files);
      const readme = readFileSync(join(place, 'README.md'), 'utf8');
      expect(readme).toContain(`for glibc ${packed.glibc} or newer`);
      for (const name of [packed.name, '@diffmavil/native', '@diffmavil/core'])
        expect(readFileSync(join(modules(), name, 'LICENSE'), 'utf8')).toBe(licence);
    });

    it('are not made of an addon that needs libraries that a system may lack', () => {
      const addon = join(folder, 'foreign.node');
      const flags = ['-shared', '-nostdlib', '-Wl,-rpath,/opt/lib', '-x', 'c++'];
      execFileSync('c++', [...flags, '/dev/null', '-o', addon]);
      expect(() => packPlatform({ addon, out: folder })).toThrow(
        'pack: expected an addon that needs libraries of the system alone, got /opt/lib',
      );
    });

    it('name the platform package in the same version, which is not kept in git', () => {
      const require = createRequire(join(folder, 'program.mjs'));
      const manifest = require('@diffmavil/native/package.json') as Record<string, unknown>;
      expect(manifest['optionalDependencies']).toEqual({ [packed.name]: packed.version });
      expect(packed.version).toBe(manifest['version']);
      const source = readFileSync(join(root, 'native/package.json'), 'utf8');
      expect(source).not.toContain('optionalDependencies');
    });

    it('have a command that says where the addon is from', () => {
      const command = join(modules(), '.bin', 'diffmavil-native');
      expect(run(command, 'where')).toContain(`  package      ${packed.name}: used: `);
    });
  },
);
