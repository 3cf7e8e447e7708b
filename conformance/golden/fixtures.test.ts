// SPDX-License-Identifier: Apache-2.0
// Golden fixtures change only through their reference programs: files, hashes and sizes are those on record. After a program
// wrote new ones: `npm run golden -- --hashes`.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const golden = new URL('./', import.meta.url);
const recorded = new Map(
  readFileSync(new URL('fixtures.sha256', golden), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [hash = '', file = ''] = line.split('  ');
      return [file, hash] as const;
    }),
);

function fixtureFiles(): string[] {
  return readdirSync(new URL('fixtures', golden), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.split('/golden/fixtures/')[1] ?? '')
    .toSorted();
}

describe('golden fixtures', () => {
  const contents = new Map(
    fixtureFiles().map((file) => [file, readFileSync(new URL(`fixtures/${file}`, golden))]),
  );

  it('are exactly the files that fixtures.sha256 lists', () => {
    expect([...contents.keys()]).toEqual([...recorded.keys()].toSorted());
  });

  it('have the hashes that fixtures.sha256 lists', () => {
    const changed = [...contents]
      .filter(
        ([file, bytes]) => createHash('sha256').update(bytes).digest('hex') !== recorded.get(file),
      )
      .map(([file]) => file);
    expect(changed).toEqual([]);
  });

  it('are at most 256 KiB each and 5 MiB in all', () => {
    const sizes = [...contents].map(([file, bytes]) => ({ file, bytes: bytes.length }));
    expect(sizes.filter(({ bytes }) => bytes > 256 * 1024)).toEqual([]);
    expect(sizes.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(5 * 1024 * 1024);
  });
});
