// SPDX-License-Identifier: Apache-2.0
import { expectClose } from '@diffmavil/testkit';
import { describe, expect, it } from 'vitest';

import { presets } from './presets.ts';
import {
  positionTable,
  sinCosPositions1d,
  sinCosPositions2d,
  sinCosPositionsVideo,
} from './positions.ts';

const at = (table: Float32Array, width: number, token: number, index: number): number =>
  table[token * width + index] ?? Number.NaN;

describe('sinCosPositions2d', () => {
  it("has NumPy's values of token 9 on the 64 x 8 grid: column 1, row 1", () => {
    const table = sinCosPositions2d(768, 64, 8);
    expect(table).toHaveLength(512 * 768);
    const values = [0, 192, 384, 576].map((i) => at(table, 768, 9, i));
    expectClose(values, [0.841471, 0.540302, 0.841471, 0.540302], { maxAbs: 1e-6 });
  });

  it("has NumPy's values of token 9 on the 8 x 64 grid: column 9, row 0", () => {
    const table = sinCosPositions2d(768, 8, 64);
    expect(table).toHaveLength(512 * 768);
    const values = [0, 192, 384, 576].map((i) => at(table, 768, 9, i));
    expectClose(values, [0.412118, -0.91113, 0, 1], { maxAbs: 1e-6 });
  });

  it('refuses a width that does not split into four', () => {
    expect(() => sinCosPositions2d(6, 2, 2)).toThrow(
      'sinCosPositions2d: expected a width divisible by 4, got 6',
    );
  });
});

describe('sinCosPositions1d', () => {
  it('puts all sines before all cosines, frequencies 10000^(-i / (width/2))', () => {
    const expected = [Math.sin(3), Math.sin(0.03), Math.cos(3), Math.cos(0.03)];
    const table = sinCosPositions1d(4, 4);
    expect(table).toHaveLength(16);
    expectClose(table.subarray(12), expected, { maxAbs: 1e-7 });
  });
});

describe('sinCosPositionsVideo', () => {
  it('is the spatial table plus the temporal one, time slowest', () => {
    const [width, rows, columns] = [8, 2, 3];
    const video = sinCosPositionsVideo(width, 2, rows, columns);
    const space = sinCosPositions2d(width, rows, columns);
    const time = sinCosPositions1d(width, 2);
    expect(video).toHaveLength(2 * rows * columns * width);
    const token = 1 * rows * columns + 4;
    const expected = Float32Array.from(
      { length: width },
      (_, i) => at(space, width, 4, i) + at(time, width, 1, i),
    );
    expectClose(video.subarray(token * width, (token + 1) * width), expected, { maxAbs: 1e-6 });
  });
});

describe('positionTable', () => {
  it('follows the grid of each modality and is made once', () => {
    const audio = positionTable(presets['paper-r2'], 'audio', 768);
    expectClose(audio, sinCosPositions2d(768, 64, 8), { maxAbs: 0 });
    expect(positionTable(presets['paper-r2'], 'audio', 768)).toBe(audio);
    expect(positionTable(presets['paper-r2'], 'video', 512)).toHaveLength(1568 * 512);
  });
});
