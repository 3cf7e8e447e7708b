// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { startProgress } from './progress.ts';

function record(isTerminal: boolean, steps: number, stepMs = 500): string[] {
  const written: string[] = [];
  let now = 0;
  const progress = startProgress(
    { isTerminal, write: (text) => written.push(text) },
    'pretrain',
    steps,
    () => now,
  );
  for (let done = 1; done <= steps; done++) {
    now += stepMs;
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

  it('writes at least a line a minute in a long run', () => {
    const written = record(false, 1000, 10_000);
    // The first step, then every sixth until 99, 100 for the tenth, every sixth again: 17 lines in each tenth.
    expect(written.slice(0, 3)).toEqual([
      'pretrain 1/1000  10 s, 9990 s left  loss 1\n',
      'pretrain 7/1000  70 s, 9930 s left  loss 7\n',
      'pretrain 13/1000  130 s, 9870 s left  loss 13\n',
    ]);
    expect(written).toHaveLength(171);
  });
});
