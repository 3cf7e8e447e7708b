// SPDX-License-Identifier: Apache-2.0
import { makeKey } from '@diffmavil/core';
import { describe, expect, it } from 'vitest';

import { defineModel } from './config.ts';
import type { MaskingConfig, ModelConfig, PartialModelConfig } from './config.ts';
import {
  drawMask,
  maskOrder,
  maskRatioOf,
  pretrainVisibleCount,
  visibleCount,
  visibleTokenCount,
} from './masking.ts';

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

/** A model of `frames` audio tokens. */
const audioOnly = (frames: number, rest: PartialModelConfig = {}): ModelConfig =>
  defineModel({
    audio: { frames, mels: 1, patch: 1 },
    video: null,
    decoder: { audioAttention: 'global' },
    ...rest,
  });

describe('pretrainVisibleCount', () => {
  const visible = (config: ModelConfig, ratio: number): number =>
    pretrainVisibleCount(config, 'audio', ratio, 'pretrainForward: audio');

  it('refuses a ratio whose second view would overlap the first', () => {
    expect(() => visible(audioOnly(64), 0.4)).toThrow(
      'pretrainForward: audio: expected a mask ratio of at least 0.5, so that two views of 64 tokens do not overlap, got 0.4. ' +
        "Try: set loss.intraWeight to 0, which needs no second view, or masking.secondView to 'independent'",
    );
    expect(visible(audioOnly(64, { loss: { intraWeight: 0 } }), 0.4)).toBe(38);
    expect(visible(audioOnly(64, { masking: { secondView: 'independent' } }), 0.4)).toBe(38);
    expect(visible(audioOnly(64), 0.5)).toBe(32);
  });

  it('refuses a ratio that leaves nothing visible or nothing masked', () => {
    const message = (ratio: number): string =>
      `pretrainForward: audio: expected a mask ratio that leaves visible and masked tokens of 8, got ${ratio}`;
    const single = audioOnly(8, { loss: { intraWeight: 0 } });
    expect(() => visible(single, 0.9)).toThrow(message(0.9));
    expect(() => visible(single, 0)).toThrow(message(0));
    expect(() => visible(single, 1.5)).toThrow(message(1.5));
  });
});

describe('structured masks of a spectrogram of 8 by 5 tokens', () => {
  const grid = { frames: 8, mels: 5, patch: 1 };
  const model = (audio: MaskingConfig['audio']): ModelConfig =>
    audioOnly(8, { audio: grid, masking: { audio, secondView: 'independent' } });
  const kept = (config: ModelConfig, ratio: number): number[][] => {
    const order = drawMask(config, 'audio', ratio, makeKey(3));
    expect([...order].toSorted((a, b) => a - b)).toEqual([...Array(40).keys()]);
    const visible = order.slice(0, visibleTokenCount(config, 'audio', ratio));
    return [...visible].map((token) => [Math.floor(token / 5), token % 5]);
  };
  const distinct = (tokens: number[][], axis: number): number =>
    new Set(tokens.map((token) => token[axis])).size;

  it.each([
    // floor(8 x 0.3) whole rows of 5.
    ['time', 0.7, 2, 5],
    // floor(5 x 0.3) whole columns of 8.
    ['frequency', 0.7, 8, 1],
    // floor(8 x 0.5) rows by floor(5 x 0.5) columns, 0.5 = sqrt(1 - 0.75).
    ['time-frequency', 0.75, 4, 2],
  ] as const)('%s at %f keeps %i rows and %i columns', (pattern, ratio, rows, columns) => {
    const tokens = kept(model(pattern), ratio);
    expect([tokens.length, distinct(tokens, 0), distinct(tokens, 1)]).toEqual([
      rows * columns,
      rows,
      columns,
    ]);
  });

  it('leaves video to chance', () => {
    const config = defineModel({ masking: { audio: 'time', secondView: 'independent' } });
    expect(visibleTokenCount(config, 'video', 0.8)).toBe(313);
    expect(drawMask(config, 'video', 0.8, makeKey(1))).toEqual(maskOrder(makeKey(1), 1568));
  });
});

it('takes one ratio for all modalities or one for each', () => {
  expect(maskRatioOf(0.8, 'video')).toBe(0.8);
  expect(maskRatioOf({ audio: 0.7, video: 0.9 }, 'audio')).toBe(0.7);
  expect(() => maskRatioOf({ audio: 0.7 }, 'video')).toThrow(
    'maskRatio: expected a ratio for video, got none',
  );
});

it('rounds to the nearest count where the papers do: 314 of 1568 at 0.8', () => {
  expect([visibleCount(1568, 0.8), visibleCount(1568, 0.8, 'nearest')]).toEqual([313, 314]);
});
