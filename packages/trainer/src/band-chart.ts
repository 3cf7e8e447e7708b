// SPDX-License-Identifier: Apache-2.0
// Bars by frequency band, beside a line at 1: errors as shares of the flat guess' error, and how much of the true detail is shown.
import {
  type Color,
  type Picture,
  blankPicture,
  drawPicture,
  drawText,
  textWidth,
} from './picture.ts';
import type { BandFigures, ModalityBands } from './reconstruction-errors.ts';

/** Bars of one colour, one for each band. */
export interface BarSeries {
  readonly name: string;
  readonly color: Color;
  readonly values: readonly number[];
}

export interface BandChart {
  readonly title: string;
  /** Below the first and the last band. */
  readonly ends: readonly [first: string, last: string];
  readonly series: readonly BarSeries[];
}

export const chartWidth = 476;
export const chartHeight = 176;

const paper: Color = [255, 255, 255];
const ink: Color = [34, 38, 46];
const faint: Color = [112, 118, 130];
const rule: Color = [222, 225, 230];
const blue: Color = [58, 110, 190];
const orange: Color = [224, 130, 48];

const left = 26;
const top = 52;
const bottom = 24;
const plotHeight = chartHeight - top - bottom;
/** Values above are drawn as high as this; their number still stands above the bar. */
const highest = 2.5;

/** Draws grouped bars with their numbers, from 0 to the highest value (1.2 at least, 2.5 at most). */
export function drawBandChart({ title, ends, series }: BandChart): Picture {
  const picture = blankPicture(chartWidth, chartHeight, paper);
  const all = series.flatMap(({ values }) => values).filter(Number.isFinite);
  const scale = Math.min(highest, Math.max(1.2, ...all));
  const y = (value: number): number =>
    top + Math.round(plotHeight * (1 - Math.min(value, scale) / scale));
  const write = (text: string, x: number, from: number, color: Color, size = 1): void =>
    drawText(picture, text, { left: Math.max(0, Math.round(x)), top: from, scale: size, color });
  const fill = (x: number, from: number, width: number, height: number, color: Color): void => {
    if (width > 0 && height > 0) drawPicture(picture, blankPicture(width, height, color), x, from);
  };
  write(title, left, 0, ink, 2);
  let legend = left;
  for (const { name, color } of series) {
    fill(legend, 25, 8, 8, color);
    write(name, legend + 12, 25, faint);
    legend += 12 + textWidth(name, 1) + 18;
  }
  for (let value = 0; value <= scale; value++) {
    fill(left, y(value), chartWidth - left, 1, value === 1 ? faint : rule);
    write(String(value), left - 10, y(value) - 3, faint);
  }
  const bands = series[0]?.values.length ?? 0;
  const step = (chartWidth - left) / Math.max(1, bands);
  const bar = Math.floor((step - 6) / Math.max(1, series.length));
  for (const [s, { values, color }] of series.entries()) {
    for (const [band, value] of values.entries()) {
      const x = left + Math.round(band * step) + 3 + s * bar;
      const from = y(value);
      fill(x, from, bar - 1, chartHeight - bottom - from, color);
      const text = numberText(value);
      write(text, x + (bar - 1 - textWidth(text, 1)) / 2, from - 9, ink);
    }
  }
  write(ends[0], left, chartHeight - bottom + 6, faint);
  write(ends[1], chartWidth - textWidth(ends[1], 1), chartHeight - bottom + 6, faint);
  return picture;
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 9.995
    ? value.toFixed(0)
    : value.toFixed(value >= 0.995 ? 1 : 2).replace(/^0/, '');
}

/** Charts of the errors and of the detail shown, side by side: one row by pitch, if there is one, and one by radial frequency. */
export function bandCharts({ pitch, detail }: ModalityBands): {
  readonly label: readonly string[];
  readonly cells: readonly Picture[];
}[] {
  const hertz = (value: number): string =>
    value < 1000 ? `${value} Hz` : `${(value / 1000).toFixed(1)} kHz`;
  return [
    ...(pitch === null
      ? []
      : [
          {
            label: ['by pitch'],
            cells: chartPair(pitch, [hertz(pitch.edges[0]!), hertz(pitch.edges.at(-1)!)]),
          },
        ]),
    {
      label: ['by detail', 'coarse to', 'fine'],
      cells: chartPair(detail, ['waves of 16 and more', 'waves of 2']),
    },
  ];
}

function chartPair(figures: BandFigures, ends: readonly [string, string]): Picture[] {
  const ratio = (values: readonly number[]): number[] =>
    values.map((value, band) => value / figures.flat[band]!);
  const series = (oneStep: readonly number[], sampled: readonly number[] | null): BarSeries[] => [
    { name: 'one step', color: blue, values: ratio(oneStep) },
    ...(sampled === null ? [] : [{ name: 'sampled', color: orange, values: ratio(sampled) }]),
  ];
  return [
    drawBandChart({
      title: 'error / flat guess (1)',
      ends,
      series: series(figures.oneStep, figures.sampled),
    }),
    drawBandChart({
      title: 'power / true power (1)',
      ends,
      series: series(figures.oneStepPower, figures.sampledPower),
    }),
  ];
}
