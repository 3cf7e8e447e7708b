// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { bandCharts, chartHeight, chartWidth, drawBandChart } from './band-chart.ts';
import type { Picture } from './picture.ts';

const red = [255, 0, 0] as const;

/** Pixels of pure red in the plot: below the legend. */
function redPixels({ data, width }: Picture): number {
  let count = 0;
  for (let i = width * 50 * 3; i < data.length; i += 3) {
    if (data[i] === 255 && data[i + 1] === 0 && data[i + 2] === 0) count++;
  }
  return count;
}

const chart = (values: readonly number[]): Picture =>
  drawBandChart({
    title: 'error',
    ends: ['low', 'high'],
    series: [{ name: 'a', color: red, values }],
  });

describe('drawBandChart', () => {
  it('draws bars as high as their values, up to where the axis ends', () => {
    const one = redPixels(chart([1, 0, 0, 0]));
    expect(one).toBeGreaterThan(1000);
    // The axis is the same, 0 to 1.2, so half the value is half the pixels, a row of rounding aside.
    expect(redPixels(chart([0.5, 0, 0, 0])) / one).toBeCloseTo(0.5, 1);
    expect(redPixels(chart([1, 1, 1, 1])) / one).toBeCloseTo(4, 1);
    expect(redPixels(chart([9, 0, 0, 0]))).toBe(redPixels(chart([90, 0, 0, 0])));
    expect(redPixels(chart([Number.NaN, 0, 0, 0]))).toBe(0);
  });

  it('has one size whatever is drawn', () => {
    for (const values of [[], [1], Array.from({ length: 40 }, () => 0.3)]) {
      const { width, height } = chart(values);
      expect([width, height]).toEqual([chartWidth, chartHeight]);
    }
  });
});

describe('bandCharts', () => {
  it('draws a pair of charts by detail, and one by pitch where there is sound', () => {
    const figures = {
      edges: [20, 900, 8000],
      flat: [1, 2],
      oneStep: [1, 1],
      sampled: null,
      oneStepPower: [0.5, 0.5],
      sampledPower: null,
    };
    expect(bandCharts({ pitch: null, detail: figures })).toHaveLength(1);
    const rows = bandCharts({ pitch: figures, detail: figures });
    expect(rows.map(({ cells }) => cells.length)).toEqual([2, 2]);
  });
});
