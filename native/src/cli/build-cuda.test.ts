// SPDX-License-Identifier: Apache-2.0
// Builds with the real CMake and C++ compiler, of a small project in place of the kernels and of a file in place of nvcc.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheFolder, cachedProblem, libraryFile, libraryPart, writeManifest } from '../cache.ts';
import { libraryAt } from '../cuda/library.ts';
import { deviceAbi, packageFolder } from '../platform.ts';
import { noAddon, skipNote } from '../test-native.ts';
import { buildLibrary, findNvcc } from './build-cuda.ts';
import type { CudaBuildOptions } from './build-cuda.ts';
import { cleanCache } from './clean.ts';
import { smallLibrary, writeSmallLibrary } from './test-project.ts';
import { lookForLibrary, usedAddon } from './where.ts';

const runs = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const noTools =
  process.platform !== 'linux' || !runs('cmake') || !runs(process.env['CXX'] ?? 'c++');
const toolsNote = noTools ? ' (skipped: no cmake or no C++ compiler)' : '';

let folder: string;
let cache: string;
let options: CudaBuildOptions & { readonly environment: NodeJS.ProcessEnv };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'diffmavil-build-cuda-'));
  cache = join(folder, 'diffmavil');
  const CUDACXX = join(folder, 'nvcc');
  writeFileSync(CUDACXX, '');
  options = {
    environment: { ...process.env, XDG_CACHE_HOME: folder, CUDACXX },
    signal: new AbortController().signal,
    sources: join(folder, 'sources'),
    addonFile: null,
  };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The message of the error; fails when there is none. */
const failure = async (changes: Partial<CudaBuildOptions> = {}): Promise<string> => {
  const outcome = await buildLibrary({ ...options, ...changes }).catch((error: unknown) => error);
  return outcome instanceof Error ? outcome.message : 'no error';
};

describe.skipIf(noTools)(`diffmavil-native build --cuda${toolsNote}`, () => {
  it('puts the library and its manifest where it is looked for, beside the addon of before', async () => {
    writeSmallLibrary(options.sources!);
    const addon = cacheFolder(options.environment);
    mkdirSync(addon, { recursive: true });
    writeFileSync(join(addon, 'diffmavil.node'), 'of before');
    writeManifest(addon);
    const { place, sizeBytes, facts } = await buildLibrary(options);
    expect(facts).toBeNull();
    expect(place).toBe(join(cacheFolder({ XDG_CACHE_HOME: folder }, libraryPart), libraryFile));
    expect(readFileSync(place).length).toBe(sizeBytes);
    expect(readFileSync(place).includes('a stand-in for 80-real 90a-real 100-real')).toBe(true);
    expect(libraryAt({ source: 'cache', place })).toEqual({ file: place });
    const found = lookForLibrary({ XDG_CACHE_HOME: folder }, null, join(folder, 'package'));
    expect(found.map(({ source, found }) => [source, found])).toEqual([
      ['local build', 'not found'],
      ['cache', null],
      ['package', expect.any(String)],
    ]);
    expect(cachedProblem(join(addon, 'diffmavil.node'))).toBeNull();
    expect(readdirSync(cache)).toHaveLength(2);
    expect(cleanCache({ XDG_CACHE_HOME: folder }).toSorted()).toEqual([dirname(place), addon]);
  });

  it.skipIf(noAddon)(`has the addon try it, and takes no other interface${skipNote}`, async () => {
    writeSmallLibrary(options.sources!);
    const { addonFile: _, ...withAddon } = options;
    const { place, facts } = await buildLibrary({ ...withAddon, architecture: '90a' });
    const problem = 'device: expected a GPU and its driver, got a stand-in for 90a-real';
    expect(facts).toEqual({ count: 0, problem });
    const addon = usedAddon(process.env);
    const found = lookForLibrary({ XDG_CACHE_HOME: folder }, addon, join(folder, 'package'));
    expect(found.find(({ used }) => used)).toEqual({
      source: 'cache',
      place,
      found: facts,
      used: true,
    });
    const before = readFileSync(place);
    const other = smallLibrary.replace('abi == DM_CUDA_ABI', 'abi == DM_CUDA_ABI + 1');
    writeSmallLibrary(options.sources!, other);
    const outcome = await buildLibrary(withAddon).catch((error: unknown) => error);
    expect((outcome as Error).message).toMatch(
      /^build: expected a device library that loads, got one that does not: openDevice: expected interface \d+ of .*, got another$/,
    );
    expect(readFileSync(place)).toEqual(before);
  });

  it.each(['89', '103', '120', '120f'])(
    'builds for one GPU that is not a default: %s',
    async (name) => {
      writeSmallLibrary(options.sources!);
      const { place } = await buildLibrary({ ...options, architecture: name });
      expect(readFileSync(place).includes(`a stand-in for ${name}-real`)).toBe(true);
      expect(readFileSync(place).includes('80-real')).toBe(false);
    },
  );

  it('keeps the library of before when it fails or is interrupted', async () => {
    writeSmallLibrary(options.sources!);
    const { place } = await buildLibrary(options);
    const before = readFileSync(place);
    writeFileSync(join(options.sources!, 'library.cc'), 'int main( {');
    expect(await failure()).toMatch(
      /^build: expected cmake to compile, got exit code \d+: .*library\.cc:1:\d+: error: .*\. Try: read .*native-build\.log$/,
    );
    const started = join(folder, 'started');
    const more = `add_custom_target(wait COMMAND \${CMAKE_COMMAND} -E touch ${started} COMMAND sleep 60)
      add_dependencies(diffmavil_cuda wait)`;
    writeSmallLibrary(options.sources!, smallLibrary, more);
    const controller = new AbortController();
    const startMs = performance.now();
    const outcome = failure({ signal: controller.signal });
    while (!existsSync(started) && performance.now() - startMs < 30_000)
      await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort(new Error('interrupted'));
    expect(await outcome).toBe('interrupted');
    expect(readdirSync(cache)).toHaveLength(1);
    expect(cachedProblem(place, libraryPart)).toBeNull();
    expect(readFileSync(place)).toEqual(before);
  });

  it.each([
    [
      "nvcc fatal   : Unsupported gpu architecture 'compute_100'",
      "an nvcc that knows compute capability 100, got an older one. Try: --arch <the GPU's own>, or CUDACXX=<a newer nvcc>",
    ],
    [
      '#error -- unsupported GNU version! gcc versions later than 15 are not supported!',
      'a host compiler that nvcc knows, got a newer one. Try: CUDAHOSTCXX=<an older g++>, or a newer CUDA toolkit',
    ],
    [
      'Could NOT find CUDAToolkit (missing: CUDA_CUDART)',
      "NVIDIA's CUDA toolkit around nvcc, got none. Try: CUDACXX=<the nvcc of a whole toolkit>",
    ],
    [
      'fatal error: error writing to x.o: No space left on device',
      'enough room for about 100 MB, got a full disk. Try: XDG_CACHE_HOME=<another folder>',
    ],
  ])('says what stops it: %s', async (text, sentence) => {
    const programs = join(folder, 'programs');
    mkdirSync(programs);
    writeFileSync(join(programs, 'cmake'), `#!/bin/sh\ncat >&2 <<'END'\n${text}\nEND\nexit 1\n`);
    chmodSync(join(programs, 'cmake'), 0o755);
    const PATH = [programs, process.env['PATH']].join(delimiter);
    const environment = { ...options.environment, PATH };
    expect(await failure({ environment })).toBe(`build: expected ${sentence}`);
  });
});

describe('the CUDA compiler', () => {
  it('is what CUDACXX says, then nvcc on PATH, then that of the usual folder', () => {
    const nvcc = join(folder, 'nvcc');
    const other = join(folder, 'other');
    writeFileSync(other, '');
    const PATH = ['/nowhere', folder].join(delimiter);
    expect(findNvcc({ PATH, CUDACXX: other }, '/nowhere/nvcc')).toBe(other);
    expect(findNvcc({ PATH, CUDACXX: 'other' }, '/nowhere/nvcc')).toBe(other);
    expect(findNvcc({ PATH }, other)).toBe(nvcc);
    expect(findNvcc({ PATH: '/nowhere' }, other)).toBe(other);
    expect(() => findNvcc({ PATH: '/nowhere' }, '/nowhere/nvcc')).toThrow(
      "build: expected nvcc, got none on PATH or as /nowhere/nvcc. Try: install NVIDIA's CUDA toolkit 13, or CUDACXX=<its nvcc>",
    );
  });
});

describe('the interface of the device library', () => {
  it('is that of its header', () => {
    const header = readFileSync(join(packageFolder, 'cuda/include/dm_cuda.h'), 'utf8');
    expect(header).toContain(`#define DM_CUDA_ABI ${deviceAbi}\n`);
  });
});
