// SPDX-License-Identifier: Apache-2.0
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addonFile, cacheFolder, cacheRoot, writeManifest } from './cache.ts';
import { explainAttempts, findAddon, searchAddon } from './loader.ts';
import { platformName, version } from './platform.ts';
import { noAddon, skipNote } from './test-native.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'diffmavil-loader-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the search for the addon', () => {
  it('is off with DIFFMAVIL_NATIVE=off', () => {
    const result = searchAddon({ DIFFMAVIL_NATIVE: 'off' });
    expect(result).toEqual({ addon: null, place: null, attempts: [] });
    expect(explainAttempts(result.attempts)).toBe(
      `native: expected an addon for ${platformName()} (Node ${process.version}), got none that loads.\n` +
        '  It is switched off by DIFFMAVIL_NATIVE=off.\n' +
        'Try: npm install --include=optional @diffmavil/native, or npx diffmavil-native build ' +
        '(cmake, a C++20 compiler; in a checkout npm run build:native), or another tfjs backend',
    );
  });

  it('looks at no other place than DIFFMAVIL_NATIVE_PATH when that is set', () => {
    const place = join(folder, 'none.node');
    const result = searchAddon({ DIFFMAVIL_NATIVE_PATH: place });
    expect(result.attempts).toEqual([
      { source: 'DIFFMAVIL_NATIVE_PATH', place, problem: 'not found' },
    ]);
    expect(explainAttempts(result.attempts)).toContain(
      `\n  DIFFMAVIL_NATIVE_PATH ${place}: not found\n`,
    );
  });

  it('takes a relative DIFFMAVIL_NATIVE_PATH from the current folder', () => {
    writeFileSync(join(folder, 'other.cjs'), 'module.exports = { abi: 7 };');
    const place = relative(process.cwd(), join(folder, 'other.cjs'));
    expect(searchAddon({ DIFFMAVIL_NATIVE_PATH: place }).attempts).toEqual([
      {
        source: 'DIFFMAVIL_NATIVE_PATH',
        place: join(folder, 'other.cjs'),
        problem: 'expected interface 2, got 7',
      },
    ]);
  });

  it('says what is wrong with a file that does not load', () => {
    const place = join(folder, 'text.node');
    writeFileSync(place, 'no addon');
    const [attempt] = searchAddon({ DIFFMAVIL_NATIVE_PATH: place }).attempts;
    expect(attempt?.problem).toMatch(/^ERR_DLOPEN_FAILED: .*(file too short|invalid ELF header)/);
  });

  it('says what is wrong with a module that is another interface', () => {
    const place = join(folder, 'other.cjs');
    writeFileSync(place, 'module.exports = { abi: 7 };');
    const [attempt] = searchAddon({ DIFFMAVIL_NATIVE_PATH: place }).attempts;
    expect(attempt?.problem).toBe('expected interface 2, got 7');
    writeFileSync(join(folder, 'old.cjs'), `module.exports = { abi: 2, version: '0.0.1-old' };`);
    const [old] = searchAddon({ DIFFMAVIL_NATIVE_PATH: join(folder, 'old.cjs') }).attempts;
    expect(old?.problem).toMatch(/^expected version .*, got 0\.0\.1-old$/);
  });

  it('looks at a local build, the cache and the package, in this order', () => {
    const environment = { XDG_CACHE_HOME: folder };
    const { attempts } = searchAddon(environment, join(folder, 'package'));
    expect(attempts.slice(0, 2)).toEqual([
      {
        source: 'local build',
        place: join(folder, 'package', 'build', 'Release', addonFile),
        problem: 'not found',
      },
      { source: 'cache', place: join(cacheFolder(environment), addonFile), problem: 'not found' },
    ]);
    expect(attempts[2]?.place ?? `@diffmavil/native-${platformName()}`).toBe(
      `@diffmavil/native-${platformName()}`,
    );
  });
});

describe('the cache', () => {
  /** Puts `write` in the cache, under a manifest, and returns its place. */
  function cached(write: (place: string) => void): string {
    const target = cacheFolder({ XDG_CACHE_HOME: folder });
    mkdirSync(target, { recursive: true });
    write(join(target, addonFile));
    writeManifest(target);
    return join(target, addonFile);
  }
  const problem = (): string | undefined =>
    searchAddon({ XDG_CACHE_HOME: folder }, join(folder, 'package')).attempts.find(
      ({ source }) => source === 'cache',
    )?.problem;
  const text = (place: string): void => writeFileSync(place, 'x'.repeat(1000));

  it('is below XDG_CACHE_HOME when that is absolute, else below ~/.cache', () => {
    expect(cacheRoot({ XDG_CACHE_HOME: '/cache' })).toBe(join('/cache', 'diffmavil'));
    for (const environment of [{}, { XDG_CACHE_HOME: '' }, { XDG_CACHE_HOME: 'here' }])
      expect(cacheRoot(environment)).toMatch(/\.cache.diffmavil$/);
  });

  it.skipIf(noAddon)(`gives its addon when the manifest fits${skipNote}`, () => {
    const place = cached((to) => copyFileSync(findAddon().place ?? '', to));
    const result = searchAddon({ XDG_CACHE_HOME: folder }, join(folder, 'package'));
    expect(result.place).toBe(place);
    expect(result.addon?.version).toBe(version);
    expect(result.attempts.map(({ source }) => source)).toEqual(['local build']);
  });

  // Opening it would end the process with SIGBUS, and this test with it.
  it.skipIf(noAddon)(`does not open a truncated addon${skipNote}`, () => {
    const place = cached((to) => copyFileSync(findAddon().place ?? '', to));
    const { length } = readFileSync(place);
    truncateSync(place, Math.floor(length / 2));
    expect(problem()).toBe(`damaged: expected ${length} bytes, got ${Math.floor(length / 2)}`);
  });

  it('does not open a file of the right size with other bytes', () => {
    writeFileSync(cached(text), 'y'.repeat(1000));
    expect(problem()).toBe('damaged: its checksum is not that of manifest.json');
  });

  it('does not open an addon of another version or interface', () => {
    const manifest = join(cached(text), '..', 'manifest.json');
    const written = JSON.parse(readFileSync(manifest, 'utf8')) as object;
    writeFileSync(manifest, JSON.stringify({ ...written, version: '0.0.1-old' }));
    expect(problem()).toBe(`expected version ${version}, got 0.0.1-old`);
    writeFileSync(manifest, JSON.stringify({ ...written, abi: 7 }));
    expect(problem()).toBe('expected interface 2, got 7');
  });

  it('does not open an addon without a valid manifest', () => {
    const manifest = join(cached(text), '..', 'manifest.json');
    writeFileSync(manifest, '{"version": ');
    expect(problem()).toMatch(/^no valid manifest\.json: /);
    writeFileSync(manifest, 'null');
    expect(problem()).toBe('expected interface 2, got undefined');
    rmSync(manifest);
    expect(problem()).toMatch(/^no valid manifest\.json: ENOENT/);
  });
});
