// SPDX-License-Identifier: Apache-2.0
// What is said where there is no device library, no driver or no GPU.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { platformName } from '../platform.ts';
import { noAddon, skipNote } from '../test-native.ts';
import { cacheFolder, libraryFile, libraryPart, writeManifest } from '../cache.ts';
import { cudaGraphs, cudaMode, libraryAt, libraryPlaces, searchCuda } from './library.ts';

const folder = mkdtempSync(join(tmpdir(), 'diffmavil-cuda-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('cudaMode', () => {
  it('is auto unless the environment says otherwise', () => {
    expect([{}, { DIFFMAVIL_CUDA: '' }, { DIFFMAVIL_CUDA: 'off' }].map(cudaMode)).toEqual([
      'auto',
      'auto',
      'off',
    ]);
    expect(cudaMode({ DIFFMAVIL_CUDA: 'require' })).toBe('require');
    expect(() => cudaMode({ DIFFMAVIL_CUDA: 'on' })).toThrow(
      "cuda: expected DIFFMAVIL_CUDA to be off, auto or require, got 'on'",
    );
  });
});

describe('cudaGraphs', () => {
  it('is auto unless the environment says otherwise, or has ops waited for', () => {
    expect(cudaGraphs({})).toBe('auto');
    expect(cudaGraphs({ DIFFMAVIL_CUDA_GRAPHS: 'off' })).toBe('off');
    expect(cudaGraphs({ DIFFMAVIL_CUDA_SYNC: '1' })).toBe('off');
    expect(() => cudaGraphs({ DIFFMAVIL_CUDA_GRAPHS: 'on' })).toThrow(
      "cuda: expected DIFFMAVIL_CUDA_GRAPHS to be auto or off, got 'on'",
    );
  });
});

describe('the places of the device library', () => {
  const environment = { XDG_CACHE_HOME: folder };
  const cached = join(cacheFolder(environment, libraryPart), libraryFile);

  it('are a local build, beside the addon, the cache and the package, or the one that is forced', () => {
    const name = `@diffmavil/native-${platformName()}-cuda`;
    const places = (addonPlace: string | null): string[] =>
      libraryPlaces(environment, addonPlace, '/package').map(({ place }) => place);
    const local = join('/package/build-cuda/device', libraryFile);
    expect(places('/addons/diffmavil.node')).toEqual([
      local,
      join('/addons', libraryFile),
      cached,
      name,
    ]);
    expect(places('@diffmavil/native-linux-x64')).toEqual([local, cached, name]);
    expect(places(null)).toEqual([local, cached, name]);
    expect(libraryPlaces({ ...environment, DIFFMAVIL_CUDA_PATH: '/x.so' }, null)).toEqual([
      { source: 'DIFFMAVIL_CUDA_PATH', place: '/x.so' },
    ]);
  });

  it('have a whole file, or are passed over', () => {
    const place = { source: 'cache', place: cached } as const;
    expect(libraryAt(place)).toEqual({ problem: 'not found' });
    mkdirSync(dirname(cached), { recursive: true });
    writeFileSync(cached, 'a library');
    expect(libraryAt(place)).toEqual({
      problem: expect.stringMatching(/^no valid manifest\.json: /) as unknown,
    });
    writeManifest(dirname(cached), libraryPart);
    expect(libraryAt(place)).toEqual({ file: cached });
    writeFileSync(cached, 'a lib');
    expect(libraryAt(place)).toEqual({ problem: 'damaged: expected 9 bytes, got 5' });
    expect(libraryAt({ source: 'package', place: '@diffmavil/native-sunos-x64-cuda' })).toEqual({
      problem: `no package is made for ${platformName()}`,
    });
  });
});

describe.skipIf(noAddon)(`the search for a device${skipNote}`, () => {
  const problem = (environment: NodeJS.ProcessEnv): string => {
    const { devices, problem: sentence } = searchCuda(environment);
    expect(devices).toBe(0);
    return sentence!;
  };

  it('says what is switched off, misspelt or missing', () => {
    expect(problem({ DIFFMAVIL_CUDA: 'off' })).toBe(
      'cuda: expected a GPU, got DIFFMAVIL_CUDA=off. Try: unset DIFFMAVIL_CUDA',
    );
    expect(problem({ DIFFMAVIL_CUDA: 'yes' })).toMatch(/^cuda: expected DIFFMAVIL_CUDA to be off/);
    expect(problem({ DIFFMAVIL_CUDA_PATH: '/nowhere/lib.so' })).toBe(
      'cuda: expected libdiffmavil_cuda.so, got none at /nowhere/lib.so. Try: npm install ' +
        '@diffmavil/native-linux-x64-cuda, or npx diffmavil-native build --cuda (nvcc; in a checkout npm run build:cuda)',
    );
  });

  it('says why a file is no device library', () => {
    const damaged = join(folder, 'damaged.so');
    writeFileSync(damaged, 'not a library');
    expect(problem({ DIFFMAVIL_CUDA_PATH: damaged })).toMatch(
      /^openDevice: expected a library that loads, got .*damaged\.so: (file too short|invalid ELF header)/,
    );
  });
});
