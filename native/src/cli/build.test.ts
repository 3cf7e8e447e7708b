// SPDX-License-Identifier: Apache-2.0
// Builds with the real CMake and compiler, of a small project in place of the addon's sources.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cachedProblem } from '../cache.ts';
import { searchAddon } from '../loader.ts';
import { version } from '../platform.ts';
import { lockFile } from './build-folder.ts';
import type { BuildOptions } from './build-folder.ts';
import { buildAddon } from './build.ts';
import { cleanCache } from './clean.ts';
import { writeSmallProject } from './test-project.ts';

const runs = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const noTools = !runs('cmake') || !runs(process.env['CXX'] ?? 'c++');
const toolsNote = noTools ? ' (skipped: no cmake or no C++ compiler)' : '';

let folder: string;
let cache: string;
let options: BuildOptions & { readonly environment: NodeJS.ProcessEnv };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'diffmavil-build-'));
  cache = join(folder, 'diffmavil');
  options = {
    environment: { ...process.env, XDG_CACHE_HOME: folder },
    signal: new AbortController().signal,
    sources: join(folder, 'sources'),
  };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The message of the error; fails when there is none. */
const failure = async (changes: Partial<BuildOptions> = {}): Promise<string> => {
  const outcome = await buildAddon({ ...options, ...changes }).catch((error: unknown) => error);
  return outcome instanceof Error ? outcome.message : 'no error';
};

/** A program of this name that prints `text` and fails; returns the PATH that finds it first. */
const failing = (name: string, text: string): string => {
  const programs = join(folder, 'programs');
  mkdirSync(programs, { recursive: true });
  writeFileSync(join(programs, name), `#!/bin/sh\necho '${text}' >&2\nexit 1\n`);
  chmodSync(join(programs, name), 0o755);
  return [programs, process.env['PATH']].join(delimiter);
};

describe.skipIf(noTools)(`diffmavil-native build${toolsNote}`, () => {
  it('puts an addon and its manifest where the loader looks, and leaves nothing else', async () => {
    writeSmallProject(options.sources!);
    const { place, sizeBytes, isa } = await buildAddon(options);
    expect(isa).toBe('none');
    expect(readFileSync(place).length).toBe(sizeBytes);
    expect(cachedProblem(place)).toBeNull();
    expect(readdirSync(cache)).toHaveLength(1);
    const found = searchAddon({ XDG_CACHE_HOME: folder }, join(folder, 'package'));
    expect(found.place).toBe(place);
    expect(cleanCache({ XDG_CACHE_HOME: folder })).toEqual([join(place, '..')]);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('keeps the addon of before when it fails, and replaces it when it does not', async () => {
    writeSmallProject(options.sources!);
    const { place } = await buildAddon(options);
    const before = readFileSync(place);
    writeFileSync(join(options.sources!, 'addon.cc'), 'int main( {');
    const sentence = await failure();
    expect(sentence).toMatch(
      /^build: expected cmake to compile, got exit code \d+: .*addon\.cc:1:\d+: error: .*\. Try: read .*native-build\.log$/,
    );
    expect(readFileSync(join(cache, 'native-build.log'), 'utf8')).toContain('addon.cc:1');
    expect(cachedProblem(place)).toBeNull();
    expect(readFileSync(place)).toEqual(before);
    writeSmallProject(options.sources!, { more: 'target_link_options(diffmavil PRIVATE -g)' });
    await buildAddon(options);
    expect(cachedProblem(place)).toBeNull();
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('does not install an addon of another version', async () => {
    writeSmallProject(options.sources!, { addonVersion: '0.0.1-old' });
    expect(await failure()).toBe(
      `build: expected an addon that loads, got one that does not: expected version ${version}, got 0.0.1-old`,
    );
    expect(readdirSync(cache)).toEqual(['native-build.log']);
  });

  it('ends what it started and leaves nothing when it is interrupted', async () => {
    const started = join(folder, 'started');
    const more = `add_custom_target(wait COMMAND \${CMAKE_COMMAND} -E touch ${started} COMMAND sleep 60)
      add_dependencies(diffmavil wait)`;
    writeSmallProject(options.sources!, { more });
    const controller = new AbortController();
    const startMs = performance.now();
    const outcome = failure({ signal: controller.signal });
    while (!existsSync(started) && performance.now() - startMs < 30_000)
      await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort(new Error('interrupted'));
    expect(await outcome).toBe('interrupted');
    expect(performance.now() - startMs).toBeLessThan(40_000);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('is the only one, and takes over from one that was killed', async () => {
    writeSmallProject(options.sources!);
    mkdirSync(join(cache, 'native-build-killed'), { recursive: true });
    const lock = join(cache, lockFile);
    writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname() }));
    expect(await failure()).toBe(
      `build: expected to be the only build, got process ${process.pid} on ${hostname()} building too. ` +
        `Try: wait for it, or remove ${lock} when it is none`,
    );
    expect(() => cleanCache({ XDG_CACHE_HOME: folder })).toThrow(
      `clean: expected no build, got one going on. Try: when it has ended, or remove ${lock}`,
    );
    const { pid } = spawnSync(process.execPath, ['-e', '']); // has ended
    writeFileSync(lock, JSON.stringify({ pid, host: hostname() }));
    await buildAddon(options);
    expect(readdirSync(cache)).toHaveLength(1);
  });
});

describe.skipIf(noTools)(`what stops a build${toolsNote}`, () => {
  it('is a missing cmake', async () => {
    expect(await failure({ environment: { XDG_CACHE_HOME: folder, PATH: folder } })).toBe(
      'build: expected cmake, got none on PATH. Try: apt-get install cmake, or brew install cmake',
    );
  });

  it('is a missing compiler', async () => {
    writeSmallProject(options.sources!);
    const environment = { ...options.environment, CXX: join(folder, 'no-compiler') };
    expect(await failure({ environment })).toBe(
      'build: expected a C++20 compiler, got none that works. Try: apt-get install g++, or CXX=<another>',
    );
  });

  it('is a full disk, as the compiler or the file system says it', async () => {
    const PATH = failing('cmake', 'fatal error: error writing to x.o: No space left on device');
    const sentence =
      'build: expected enough room for about 20 MB, got a full disk. Try: XDG_CACHE_HOME=<another folder>';
    expect(await failure({ environment: { ...options.environment, PATH } })).toBe(sentence);
  });

  it('is an old cmake', async () => {
    const PATH = failing(
      'cmake',
      'CMake 3.22...4.2 or higher is required.  You are running version 3.18.4',
    );
    expect(await failure({ environment: { ...options.environment, PATH } })).toBe(
      'build: expected CMake 3.22 or newer, got 3.18.4. Try: a newer one, first on PATH',
    );
  });

  it('is a cache that is no folder', async () => {
    writeFileSync(cache, '');
    expect(await failure()).toMatch(
      /^build: expected to write to .*diffmavil, got EEXIST: .*\. Try: XDG_CACHE_HOME=<another folder>$/,
    );
  });
});
