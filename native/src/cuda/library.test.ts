// SPDX-License-Identifier: Apache-2.0
// What is said where there is no device library, no driver or no GPU.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { noAddon, skipNote } from '../test-native.ts';
import { cudaMode, searchCuda } from './library.ts';

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
