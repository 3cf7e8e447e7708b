// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ScheduleError } from './errors.ts';
import { maskRatio, minimumMaskRatio, type MaskRatioCurriculum } from './mask-ratio.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/curricula.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: { curriculum: MaskRatioCurriculum; epochs: number; ratios: number[] }[];
};
const paper: MaskRatioCurriculum = { kind: 'linear', start: 0.9, end: 0.8 };

describe('mask ratio', () => {
  it.each(golden.cases)('of $curriculum over $epochs epochs is golden', (example) => {
    example.ratios.forEach((expected, epoch) => {
      const actual = maskRatio(example.curriculum, epoch, example.epochs);
      expect(Math.abs(actual - expected), `epoch ${epoch}`).toBeLessThanOrEqual(4e-16);
    });
  });

  it('starts and ends exactly on the ratios given', () => {
    for (const kind of ['linear', 'cosine'] as const) {
      const curriculum = { kind, start: 0.9, end: 0.8 };
      expect([maskRatio(curriculum, 0, 60), maskRatio(curriculum, 59, 60)]).toEqual([0.9, 0.8]);
    }
  });

  it('shows 76.3 audio and 234.7 video tokens on average over the 60 epochs of the paper', () => {
    // Visible tokens floor(N (1 - ratio) + 1e-9) for 512 and 1568 tokens; the means fit Table 5 of DiffMAViL.
    const mean = (tokens: number): number => {
      let sum = 0;
      for (let epoch = 0; epoch < 60; epoch++) {
        sum += Math.floor(tokens * (1 - maskRatio(paper, epoch, 60)) + 1e-9);
      }
      return sum / 60;
    };
    expect(mean(512)).toBeCloseTo(76.3, 1);
    expect(mean(1568)).toBeCloseTo(234.7, 1);
  });

  it('has the smallest declared ratio as its minimum', () => {
    expect(minimumMaskRatio(paper)).toBe(0.8);
    expect(minimumMaskRatio({ kind: 'fixed', ratio: 0.75 })).toBe(0.75);
    expect(minimumMaskRatio({ kind: 'step', ratios: [0.9, 0.5, 0.6], epochs: [1, 2] })).toBe(0.5);
  });
});

describe('bad arguments', () => {
  const faults: [object, string][] = [
    [{ ...paper, start: 1 }, 'maskRatio: expected start in [0, 1), got 1'],
    [{ ...paper, end: -0.1 }, 'maskRatio: expected end in [0, 1), got -0.1'],
    [{ kind: 'fixed' }, 'maskRatio: expected ratio in [0, 1), got undefined'],
    [
      { kind: 'step', ratios: [], epochs: [] },
      'maskRatio: expected ratios to be a list of at least one number, got []',
    ],
    [
      { kind: 'step', ratios: [0.9, 0.8], epochs: [] },
      'maskRatio: expected epochs to be a list of 1 numbers, got []',
    ],
    [
      { kind: 'step', ratios: [0.9, 2], epochs: [1] },
      'maskRatio: expected ratios[1] in [0, 1), got 2',
    ],
    [
      { kind: 'step', ratios: [0.9, 0.8, 0.7], epochs: [4, 4] },
      'maskRatio: expected epochs[1] to be a whole number >= 5, got 4',
    ],
    [
      { kind: 'exponential' },
      `maskRatio: expected kind 'fixed', 'linear', 'cosine' or 'step', got "exponential"`,
    ],
  ];

  it.each(faults)('%o is refused with "%s"', (curriculum, message) => {
    const call = (): number => maskRatio(curriculum as MaskRatioCurriculum, 0, 10);
    expect(call).toThrow(new ScheduleError(message));
  });

  it('refuses an epoch outside the run', () => {
    expect(() => maskRatio(paper, 60, 60)).toThrow(
      new ScheduleError('maskRatio: expected epoch to be a whole number in [0, 59], got 60'),
    );
    expect(() => maskRatio(paper, 0, 0)).toThrow(
      new ScheduleError('maskRatio: expected epochs to be a whole number >= 1, got 0'),
    );
  });
});
