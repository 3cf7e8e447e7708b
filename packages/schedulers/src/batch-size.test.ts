// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { adaptiveBatchSize } from './batch-size.ts';
import { ScheduleError } from './errors.ts';
import type { MaskRatioCurriculum } from './mask-ratio.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/curricula.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: {
    curriculum: MaskRatioCurriculum;
    epochs: number;
    baseBatch: number;
    batchSizes: number[];
  }[];
};
const paper: MaskRatioCurriculum = { kind: 'linear', start: 0.9, end: 0.8 };

describe('adaptive batch size', () => {
  it.each(golden.cases)('of $curriculum from $baseBatch is golden', (example) => {
    const { curriculum, epochs, baseBatch, batchSizes } = example;
    const actual = batchSizes.map((_, e) => adaptiveBatchSize(baseBatch, curriculum, e, epochs));
    expect(actual).toEqual(batchSizes);
  });

  it('is exactly twice the base at ratio 0.9 and the base at 0.8, whatever the base', () => {
    for (const base of [1, 3, 64, 2048, 1_000_003]) {
      expect(adaptiveBatchSize(base, paper, 0, 60)).toBe(2 * base);
      expect(adaptiveBatchSize(base, paper, 59, 60)).toBe(base);
    }
  });

  it('refuses a base below one clip', () => {
    expect(() => adaptiveBatchSize(0, paper, 0, 60)).toThrow(
      new ScheduleError('adaptiveBatchSize: expected baseBatch to be a whole number >= 1, got 0'),
    );
  });
});
