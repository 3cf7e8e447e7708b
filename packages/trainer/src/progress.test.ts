// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { startProgress } from './progress.ts';

function record(isTerminal: boolean, steps: number): string[] {
  const written: string[] = [];
  let now = 0;
  const progress = startProgress(
    { isTerminal, write: (text) => written.push(text) },
    'pretrain',
    steps,
    () => now,
  );
  for (let done = 1; done <= steps; done++) {
    now += 500;
    progress.update(done, `loss ${done}`);
  }
  progress.end();
  return written;
}

describe('startProgress', () => {
  it('redraws one line on a terminal and ends it once', () => {
    const written = record(true, 4);
    expect(written).toHaveLength(5);
    expect(written[1]).toBe(
      `\r\x1b[2K[${'='.repeat(12)}${' '.repeat(12)}] pretrain 2/4  1 s, 1 s left  loss 2`,
    );
    expect(written.at(-1)).toBe(`\r\x1b[2K[${'='.repeat(24)}] pretrain 4/4  2.0 s  loss 4\n`);
  });

  it('writes a line for each tenth elsewhere', () => {
    const written = record(false, 100);
    expect(written).toHaveLength(11);
    expect(written.at(-1)).toBe('pretrain 100/100  50.0 s  loss 100\n');
  });
});
