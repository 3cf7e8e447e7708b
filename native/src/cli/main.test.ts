// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheFolder, libraryFile, libraryPart } from '../cache.ts';
import { findAddon } from '../loader.ts';
import { platformName, version } from '../platform.ts';
import { noAddon, skipNote } from '../test-native.ts';
import { main } from './main.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'diffmavil-where-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const printed = { stdout: '', stderr: '' };
  const code = await main(args, {
    stdout: (text) => (printed.stdout += text),
    stderr: (text) => (printed.stderr += text),
    environment: { ...process.env, XDG_CACHE_HOME: folder, DIFFMAVIL_CUDA: 'off', ...more },
  });
  return { code, ...printed };
}

const title = `@diffmavil/native ${version} for ${platformName()}, Node ${process.version}\n`;

describe('diffmavil-native', () => {
  it('explains itself', async () => {
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('diffmavil-native build');
    expect((await run([])).code).toBe(2);
  });

  it('refuses what it does not know', async () => {
    expect(await run(['biuld'])).toEqual({
      code: 2,
      stdout: '',
      stderr:
        "diffmavil-native: expected build, where or clean, got 'biuld'. Try: diffmavil-native --help\n",
    });
    expect(await run(['build', '--fast'])).toEqual({
      code: 2,
      stdout: '',
      stderr: "diffmavil-native build: expected --verbose, --cuda or --cuda --arch, got '--fast'\n",
    });
    const wrong = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr } = await run(['build', ...args]);
      expect(code).toBe(2);
      return stderr.replace('diffmavil-native build: expected ', '').trim();
    };
    expect(await wrong('--arch', '80')).toBe("--verbose, --cuda or --cuda --arch, got '--arch'");
    for (const name of ['75', '8.9', 'sm_89', '90b', ''])
      expect(await wrong('--cuda', '--arch', name)).toBe(
        `--arch to be a compute capability from 80 on, such as 80, 90a, 100 or 120, got '${name}'`,
      );
    expect(await wrong('--cuda', '--arch')).toMatch(/got ''$/);
    expect(await wrong('--cuda', '80')).toBe("--verbose, --cuda or --cuda --arch, got '80'");
  });

  it('build --cuda asks for nvcc', async () => {
    const CUDACXX = join(folder, 'no-nvcc');
    expect(await run(['build', '--cuda'], { CUDACXX })).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'building the device library; this takes many minutes\n' +
        `diffmavil-native build: expected nvcc, got none as CUDACXX says: ${CUDACXX}. ` +
        "Try: install NVIDIA's CUDA toolkit 13, or CUDACXX=<its nvcc>\n",
    });
  });

  it('clean says when there is nothing', async () => {
    expect(await run(['clean'])).toEqual({ code: 0, stdout: 'nothing to remove\n', stderr: '' });
  });
});

describe('diffmavil-native where', () => {
  it('says that it is switched off', async () => {
    expect(await run(['where'], { DIFFMAVIL_NATIVE: 'off' })).toEqual({
      code: 1,
      stdout: `${title}  switched off by DIFFMAVIL_NATIVE=off\n`,
      stderr: '',
    });
  });

  it('names a forced path that is wrong, and what to do', async () => {
    const place = join(folder, 'none.node');
    expect(await run(['where'], { DIFFMAVIL_NATIVE_PATH: place })).toEqual({
      code: 1,
      stdout:
        `${title}  DIFFMAVIL_NATIVE_PATH ${place}: not found\n` +
        'Try: npm install --include=optional @diffmavil/native, or npx diffmavil-native build (cmake, a C++20 compiler)\n' +
        'the device library of diffmavil-cuda\n  switched off by DIFFMAVIL_CUDA=off\n',
      stderr: '',
    });
  });

  it('lives on when a file ends the process that loads it', async () => {
    const place = join(folder, 'deadly.cjs');
    writeFileSync(place, `process.kill(process.pid, 'SIGKILL');`);
    const { code, stdout } = await run(['where'], { DIFFMAVIL_NATIVE_PATH: place });
    expect(code).toBe(1);
    expect(stdout).toContain(`${place}: damaged: loading it ends a process with SIGKILL\n`);
  });

  it.skipIf(noAddon)(`names the addon in use and the other places${skipNote}`, async () => {
    const { code, stdout } = await run(['where']);
    const { place, addon } = findAddon();
    expect(code).toBe(0);
    expect(stdout.startsWith(title)).toBe(true);
    expect(stdout).toContain(`${place}: used: ${addon?.isa}, `);
    expect(stdout).toContain(`  package      @diffmavil/native-${platformName()}: `);
  });

  it('lists the places of the device library, and what is wrong there', async () => {
    const { stdout } = await run(['where'], { DIFFMAVIL_CUDA: 'auto' });
    const cached = join(cacheFolder({ XDG_CACHE_HOME: folder }, libraryPart), libraryFile);
    expect(stdout).toContain('the device library of diffmavil-cuda\n  local build ');
    expect(stdout).toContain(`  cache            ${cached}: not found\n`);
    expect(stdout).toContain(`  package          @diffmavil/native-${platformName()}-cuda: `);
  });

  it.skipIf(noAddon)(`names a forced library that does not load${skipNote}`, async () => {
    const place = join(folder, libraryFile);
    writeFileSync(place, 'not a library');
    const { code, stdout } = await run(['where'], {
      DIFFMAVIL_CUDA: 'auto',
      DIFFMAVIL_CUDA_PATH: place,
    });
    expect(code).toBe(0);
    expect(stdout).toContain(
      `  DIFFMAVIL_CUDA_PATH ${place}: used, and does not load: openDevice: expected a library that loads, got ${place}`,
    );
  });
});
