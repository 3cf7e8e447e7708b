// SPDX-License-Identifier: Apache-2.0
// What a user gets: the tarballs of @diffmavil/native, its platform packages and core, installed by npm in an empty project without network
// (other packages are copied from this repository's node_modules), and a program that computes there.
// Needs the packages and the addon built (npm test builds them first). Where the device library is not, a small one stands in for it.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { npmPack, packCuda, packNative, packPlatform } from '../native/scripts/pack-platform.mjs';
import { smallLibrary } from '../native/src/cli/test-project.ts';
import { findOnPath, root } from './stage.mjs';

const built = existsSync(join(root, 'native/build/Release/diffmavil.node'));
const realLibrary = join(root, 'native/build-cuda/device/libdiffmavil_cuda.so');
const noLibrary = !existsSync(realLibrary);
const libraryNote = noLibrary ? ' (skipped: without nvcc the device library is not built)' : '';
const ours = process.platform === 'linux' && process.arch === 'x64';
const tools = ['c++', 'cmake', 'strip', 'objdump'];
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

const search = `import { findCuda } from '@diffmavil/native';
console.log(JSON.stringify(findCuda()));
`;

let folder: string;
let packed: ReturnType<typeof packPlatform>;
let packedCuda: ReturnType<typeof packCuda>;
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

/** A device library that finds no device. */
function compileLibrary(name: string, architectures: string, ...more: readonly string[]): string {
  const source = join(folder, 'library.cc');
  const library = join(folder, name);
  writeFileSync(source, smallLibrary);
  const flags = ['-shared', '-fPIC', '-static-libstdc++', '-static-libgcc', ...more];
  const given = [`-DARCHITECTURES="${architectures}"`, `-I${join(root, 'native/cuda/include')}`];
  execFileSync('c++', [...flags, ...given, source, '-o', library]);
  return library;
}

/** What the sources of a package include of their own. */
function includes(native: string): { readonly file: string; readonly name: string }[] {
  const folders = ['addon', 'core', 'cpu', 'cuda', 'include'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(native, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(cc|h|cu|cuh)$/.test(file))
      .map((file) => join(native, folder, file)),
  );
  return files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^ *#include "(.+)"/gm)].map(([, name = '']) => ({
      file,
      name,
    })),
  );
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
      const library = noLibrary
        ? compileLibrary('standin.so', '80-real 90a-real 100-real')
        : realLibrary;
      packedCuda = packCuda({ library, out: folder });
      const tarballs = [
        packed.tarball,
        packedCuda.tarball,
        packNative({ platforms: [packed.name, packedCuda.name], out: folder }),
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
      writeFileSync(join(folder, 'search.mjs'), search);
    }, 120_000);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('give a five-line program the addon of the platform package', () => {
      expect(run('program.mjs')).toBe('diffmavil-cpu 11\n');
    });

    it('carry one file alone, and the licence', () => {
      const readme = (name: string): string =>
        readFileSync(join(modules(), name, 'README.md'), 'utf8');
      const files = (name: string): string[] => readdirSync(join(modules(), name)).toSorted();
      const texts = ['LICENSE', 'README.md'];
      expect(files(packed.name)).toEqual([...texts, 'diffmavil.node', 'package.json']);
      expect(files(packedCuda.name)).toEqual([...texts, 'libdiffmavil_cuda.so', 'package.json']);
      expect(readme(packed.name)).toContain(`for glibc ${packed.glibc} or newer`);
      expect(readme(packedCuda.name)).toContain('| driver | 580 or newer, that of CUDA 13');
      for (const name of [packed.name, packedCuda.name, '@diffmavil/native', '@diffmavil/core'])
        expect(readFileSync(join(modules(), name, 'LICENSE'), 'utf8')).toBe(licence);
    });

    it('give a program the device library of its package', () => {
      const { place } = JSON.parse(run('search.mjs')) as { place: string };
      expect(place).toBe(join(modules(), packedCuda.name, 'libdiffmavil_cuda.so'));
    });

    it.skipIf(noLibrary)(`have one that finds a GPU or says why not${libraryNote}`, () => {
      const found = JSON.parse(run('search.mjs')) as { devices: number; problem: string | null };
      const why = expect.stringMatching(
        /^device: expected a GPU and its driver, got \S/,
      ) as unknown;
      expect(found.problem).toEqual(found.devices > 0 ? null : why);
    });

    it('have every file that their sources name, so that diffmavil-native build has', () => {
      const native = join(modules(), '@diffmavil/native');
      const missing = includes(native).filter(
        ({ file, name }) =>
          ![dirname(file), native, join(native, 'include')].some((folder) =>
            existsSync(join(folder, name)),
          ),
      );
      expect(missing).toEqual([]);
      for (const part of ['', 'cuda'])
        execFileSync('cmake', ['-S', join(native, part), '-B', join(folder, `tree-${part}`)], {
          stdio: 'pipe',
        });
    }, 120_000);

    it('are not made of an addon that needs libraries that a system may lack', () => {
      const addon = join(folder, 'foreign.node');
      const flags = ['-shared', '-nostdlib', '-Wl,-rpath,/opt/lib', '-x', 'c++'];
      execFileSync('c++', [...flags, '/dev/null', '-o', addon]);
      expect(() => packPlatform({ addon, out: folder })).toThrow(
        'pack: expected an addon that needs libraries of the system alone, got /opt/lib',
      );
      expect(() => packCuda({ library: addon, out: folder })).toThrow(
        'pack: expected a device library that needs libraries of the system alone, got /opt/lib',
      );
    });

    it('are not made of a device library for other GPUs, or of one that is too large to come along unasked', () => {
      const one = compileLibrary('one.so', '90a-real');
      expect(() => packCuda({ library: one, out: folder })).toThrow(
        'pack: expected a device library for 80-real 90a-real 100-real, got one for others',
      );
      const out = join(folder, 'large');
      const library = compileLibrary('all.so', '80-real 90a-real 100-real');
      expect(() => packCuda({ library, out, limitBytes: 1000 })).toThrow(
        /^pack: expected a tarball of at most 0\.001 MB, got 0\.\d+ MB$/,
      );
      expect(readdirSync(out)).toEqual([]);
    });

    it('name the platform packages in the same version, which are not kept in git', () => {
      const require = createRequire(join(folder, 'program.mjs'));
      const manifest = require('@diffmavil/native/package.json') as Record<string, unknown>;
      expect(manifest['optionalDependencies']).toEqual({
        [packed.name]: packed.version,
        [packedCuda.name]: packed.version,
      });
      expect(packed.version).toBe(manifest['version']);
      const source = readFileSync(join(root, 'native/package.json'), 'utf8');
      expect(source).not.toContain('optionalDependencies');
    });

    it('have a command that says where the addon and the device library are from', () => {
      const command = join(modules(), '.bin', 'diffmavil-native');
      const stdout = run(command, 'where');
      expect(stdout).toContain(`  package      ${packed.name}: used: `);
      expect(stdout).toContain(`  package          ${packedCuda.name}: used, finds `);
    });
  },
);
