// SPDX-License-Identifier: Apache-2.0
import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { appendRecord, readRecords, truncateRecords } from './json-lines.ts';

const newFile = (): string => join(mkdtempSync(join(tmpdir(), 'log-')), 'log.jsonl');

it('reads back what was appended, without a last line cut short', () => {
  const file = newFile();
  appendRecord(file, { event: 'step', step: 1, loss: 0.5 });
  appendFileSync(file, '{"event":"step","st');
  expect(readRecords(file)).toEqual([{ event: 'step', step: 1, loss: 0.5 }]);
  expect(readRecords(`${file}.none`)).toEqual([]);
});

it('cuts what lies after a checkpoint, and the end of an earlier attempt', () => {
  const file = newFile();
  for (const step of [1, 2, 3]) appendRecord(file, { event: 'step', step });
  appendRecord(file, { event: 'end', step: 2 });
  truncateRecords(file, 2);
  expect(readRecords(file)).toEqual([
    { event: 'step', step: 1 },
    { event: 'step', step: 2 },
  ]);
});
