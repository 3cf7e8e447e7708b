// SPDX-License-Identifier: Apache-2.0
import { makeKey } from '@diffmavil/core';
import { describe, expect, it } from 'vitest';

import { maskOrder, pretrainVisibleCount, visibleCount } from './masking.ts';

describe('visibleCount', () => {
  it('floors as public code does: 102 and 313 at 0.8, 51 and 156 at 0.9', () => {
    const counts = [0.8, 0.9].flatMap((ratio) => [
      visibleCount(512, ratio),
      visibleCount(1568, ratio),
    ]);
    expect(counts).toEqual([102, 313, 51, 156]);
  });

  it('is not cheated by rounding: 20 of 100 at 0.8, all at 0', () => {
    expect(visibleCount(100, 0.8)).toBe(20);
    expect(visibleCount(7, 0)).toBe(7);
  });

  it.each([1, -0.1, Number.NaN])('refuses ratio %s', (ratio) => {
    expect(() => visibleCount(10, ratio)).toThrow(
      `visibleCount: expected a mask ratio in [0, 1), got ${ratio}`,
    );
  });
});

describe('maskOrder', () => {
  it('is a permutation that depends on its key alone', () => {
    const order = maskOrder(makeKey(1), 512);
    expect([...order].toSorted((a, b) => a - b)).toEqual([...Array(512).keys()]);
    expect(maskOrder(makeKey(1), 512)).toEqual(order);
    expect(maskOrder(makeKey(2), 512)).not.toEqual(order);
  });
});

describe('pretrainVisibleCount', () => {
  it('refuses a ratio whose second view would overlap the first', () => {
    expect(() => pretrainVisibleCount(64, 0.4, true, 'pretrainForward: audio')).toThrow(
      'pretrainForward: audio: expected a mask ratio of at least 0.5, so that two views of 64 tokens do not overlap, got 0.4. ' +
        'Try: set loss.intraWeight to 0, which needs no second view',
    );
    expect(pretrainVisibleCount(64, 0.4, false, 'x')).toBe(38);
    expect(pretrainVisibleCount(64, 0.5, true, 'x')).toBe(32);
  });

  it('refuses a ratio that leaves nothing visible or nothing masked', () => {
    const message = (ratio: number): string =>
      `x: expected a mask ratio that leaves visible and masked tokens of 8, got ${ratio}`;
    expect(() => pretrainVisibleCount(8, 0.9, false, 'x')).toThrow(message(0.9));
    expect(() => pretrainVisibleCount(8, 0, false, 'x')).toThrow(message(0));
  });
});
