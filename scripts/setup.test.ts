// SPDX-License-Identifier: Apache-2.0
// The set-up stages, in folders and on a PATH made for the test: no package is downloaded and nothing is installed.
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { installFfmpeg } from './ffmpeg.mjs';
import { installPackages, installedAsLocked, publicPackages } from './packages.mjs';
import { checkNode } from './setup.mjs';
import { findOnPath } from './stage.mjs';

const work = mkdtempSync(join(tmpdir(), 'diffmavil-setup-'));
afterAll(() => rmSync(work, { recursive: true }));

describe('checkNode', () => {
  it('accepts the oldest supported version and later ones', () => {
    for (const version of ['20.19.0', '20.20.2', '22.0.0', '100.1.0'])
      expect(() => checkNode(version)).not.toThrow();
  });

  it('refuses older ones in one sentence', () => {
    expect(() => checkNode('20.9.0')).toThrow(
      'setup: expected Node 20.19.0 or later, got 20.9.0. Try: install the current release from nodejs.org',
    );
    expect(() => checkNode('18.20.4')).toThrow('got 18.20.4');
  });
});

describe('packages', () => {
  const repository = join(work, 'repository');
  const write = (path: string, content: object | string): void => {
    const file = join(repository, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  };
  const lock = {
    '': { workspaces: ['packages/*'] },
    'node_modules/left': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/for-windows': {
      version: '1.0.0',
      integrity: 'sha512-b',
      optional: true,
      os: ['win32'],
    },
    'node_modules/of-for-windows': { version: '1.0.0', integrity: 'sha512-c', optional: true },
  };
  const { 'node_modules/left': left } = lock;

  beforeEach(() => {
    rmSync(repository, { recursive: true, force: true });
    write('package.json', { workspaces: ['packages/*', 'tools', 'gone'] });
    write('packages/shown/package.json', { name: 'shown' });
    write('packages/hidden/package.json', { name: 'hidden', private: true });
    write('packages/notes.txt', 'not a package');
    write('tools/package.json', { name: 'tools', private: true });
    write('package-lock.json', { packages: lock });
    write('node_modules/.package-lock.json', { packages: { 'node_modules/left': left } });
    write('node_modules/left/package.json', { version: '1.0.0' });
  });

  it('publishes the workspaces that are not private', () => {
    expect(publicPackages(repository)).toEqual(['packages/shown']);
  });

  it('takes what npm installed for what the lock file says, packages of other machines apart', () => {
    expect(installedAsLocked(repository)).toBe(true);
  });

  it('sees another version recorded or installed, a missing record and a missing folder', () => {
    write('node_modules/.package-lock.json', {
      packages: { 'node_modules/left': { ...left, version: '0.9.0' } },
    });
    expect(installedAsLocked(repository)).toBe(false);
    write('node_modules/.package-lock.json', { packages: {} });
    expect(installedAsLocked(repository)).toBe(false);
    write('node_modules/.package-lock.json', { packages: { 'node_modules/left': left } });
    write('node_modules/left/package.json', { version: '0.9.0' });
    expect(installedAsLocked(repository)).toBe(false);
    rmSync(join(repository, 'node_modules/left'), { recursive: true });
    expect(installedAsLocked(repository)).toBe(false);
    rmSync(join(repository, 'node_modules'), { recursive: true });
    expect(installedAsLocked(repository)).toBe(false);
  });

  it('has nothing to do when everything is installed, and stamps it', async () => {
    expect(await installPackages(repository)).toBe(false);
    const stamp = (): string =>
      readFileSync(join(repository, 'node_modules/.diffmavil-setup'), 'utf8');
    expect(stamp()).toMatch(/^[0-9a-f]{64}$/);
    const first = stamp();
    write('packages/shown/package.json', { name: 'shown', version: '2.0.0' });
    expect(await installPackages(repository)).toBe(false);
    expect(stamp()).not.toBe(first);
  });
});

describe('installFfmpeg', () => {
  const bin = join(work, 'bin');
  const program = (name: string, script: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  const only = async <T>(variables: Record<string, string>, work: () => Promise<T>): Promise<T> => {
    const before = { ...process.env };
    delete process.env['DIFFMAVIL_FFMPEG'];
    Object.assign(process.env, { PATH: bin }, variables);
    try {
      return await work();
    } finally {
      for (const name of ['PATH', 'DIFFMAVIL_FFMPEG']) delete process.env[name];
      Object.assign(process.env, before);
    }
  };
  const env = findOnPath('env') ?? '/usr/bin/env';
  const isRoot = process.getuid?.() === 0;
  const sentence =
    "Try: 'apt-get install ffmpeg' as root, 'brew install ffmpeg', or set DIFFMAVIL_FFMPEG to the executable";

  beforeEach(() => {
    rmSync(bin, { recursive: true, force: true });
    mkdirSync(bin);
  });

  it('has nothing to do when both programs are on PATH or where DIFFMAVIL_FFMPEG points', async () => {
    program('ffmpeg', '');
    program('ffprobe', '');
    expect(await only({}, installFfmpeg)).toBe(false);
    const other = join(work, 'elsewhere');
    cpSync(bin, other, { recursive: true });
    rmSync(join(bin, 'ffmpeg'));
    expect(await only({ DIFFMAVIL_FFMPEG: other }, installFfmpeg)).toBe(false);
    expect(await only({ DIFFMAVIL_FFMPEG: join(other, 'ffmpeg') }, installFfmpeg)).toBe(false);
  });

  it('refuses a DIFFMAVIL_FFMPEG that leads nowhere, even with ffmpeg on PATH', async () => {
    program('ffmpeg', '');
    program('ffprobe', '');
    await expect(only({ DIFFMAVIL_FFMPEG: '/nowhere' }, installFfmpeg)).rejects.toThrow(
      `setup: expected ffmpeg and ffprobe, got nothing executable at DIFFMAVIL_FFMPEG=/nowhere. ${sentence}`,
    );
  });

  it('says what to install when there is no apt-get', async () => {
    await expect(only({}, installFfmpeg)).rejects.toThrow(
      `setup: expected ffmpeg and ffprobe, got none. ${sentence}`,
    );
  });

  // An apt-get of the test: update fails, as with an unreachable source; install "installs" both programs.
  const aptGet = `case "$*" in *update*) exit 100;; *ffmpeg) for p in ffmpeg ffprobe; do echo > "${bin}/$p"; /bin/chmod 755 "${bin}/$p"; done;; esac`;

  it('installs with apt-get as root, or with a sudo that asks for no password', async () => {
    symlinkSync(env, join(bin, 'env'));
    program('apt-get', aptGet);
    if (!isRoot) program('sudo', 'shift; [ "$1" = true ] || exec "$@"');
    expect(await only({}, installFfmpeg)).toBe(true);
    expect(await only({}, installFfmpeg)).toBe(false);
  });

  it('says what to install when apt-get fails', async () => {
    symlinkSync(env, join(bin, 'env'));
    program('apt-get', 'exit 100');
    if (!isRoot) program('sudo', 'shift; [ "$1" = true ] || exec "$@"');
    await expect(only({}, installFfmpeg)).rejects.toThrow(
      `setup: expected ffmpeg and ffprobe, got none, and apt-get could not install them. ${sentence}`,
    );
  });
});
