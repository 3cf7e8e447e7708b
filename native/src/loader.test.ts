// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainAttempts, platformName, searchAddon } from './loader.ts';

describe('the search for the addon', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'diffmavil-loader-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is off with DIFFMAVIL_NATIVE=off', () => {
    const result = searchAddon({ DIFFMAVIL_NATIVE: 'off' });
    expect(result).toEqual({ addon: null, place: null, attempts: [] });
    expect(explainAttempts(result.attempts)).toBe(
      `native: expected an addon for ${platformName()} (Node ${process.version}), got none that loads.\n` +
        '  It is switched off by DIFFMAVIL_NATIVE=off.\n' +
        'Try: npm install --include=optional @diffmavil/native, or in a checkout npm run build:native ' +
        '(cmake, a C++20 compiler, oneDNN), or another tfjs backend',
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
    expect(attempt?.problem).toBe('expected interface 1, got 7');
    writeFileSync(join(folder, 'old.cjs'), `module.exports = { abi: 1, version: '0.0.1-old' };`);
    const [old] = searchAddon({ DIFFMAVIL_NATIVE_PATH: join(folder, 'old.cjs') }).attempts;
    expect(old?.problem).toMatch(/^expected version .*, got 0\.0\.1-old$/);
  });
});
