// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ScheduleError } from './errors.ts';
import { layerDecayScales } from './layer-decay.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/layer-decay.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: { depth: number; decay: number; scales: number[] }[];
};

describe('layer decay', () => {
  it.each(golden.cases)('of $decay over $depth blocks is golden', ({ depth, decay, scales }) => {
    const actual = layerDecayScales(depth, decay);
    expect(actual.length).toBe(depth + 2);
    scales.forEach((scale, i) => {
      expect(Math.abs(actual[i]! / scale - 1)).toBeLessThanOrEqual(1e-15);
    });
  });

  it('leaves the head alone and slows the embeddings of a 12-block encoder to 0.0238', () => {
    const scales = layerDecayScales(12, 0.75);
    expect(scales[13]).toBe(1);
    expect(scales[0]).toBeCloseTo(0.0238, 4);
  });

  it('refuses bad arguments in one sentence', () => {
    expect(() => layerDecayScales(-1, 0.75)).toThrow(
      new ScheduleError('layerDecayScales: expected depth to be a whole number >= 0, got -1'),
    );
    expect(() => layerDecayScales(12, 0)).toThrow(
      new ScheduleError('layerDecayScales: expected decay in (0, 1], got 0'),
    );
  });
});
