// SPDX-License-Identifier: Apache-2.0
// Fixed sine-cosine position tables [DiffMAViL App. C], [MAE]. Pure numbers, float64 until stored.
// Audio: 2-D on the (time, frequency) grid. Video: 2-D over space plus 1-D over time, summed.
import { ShapeError } from '@diffmavil/core';

import { tokenGrid } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';

/** [length, width] row-major: sin(p w_i) in the first half, cos(p w_i) in the second; w_i = 10000^(-i/(width/2)). */
export function sinCosPositions1d(width: number, length: number): Float32Array {
  requireWidth(width, 2, 'sinCosPositions1d');
  const table = new Float32Array(length * width);
  for (let p = 0; p < length; p++) fillSinCos(table, p * width, width, p);
  return table;
}

/**
 * [rows * columns, width] row-major. The column's embedding fills the first half of the width, the row's the
 * second, as MAE's tables do (its meshgrid puts the column first).
 */
export function sinCosPositions2d(width: number, rows: number, columns: number): Float32Array {
  requireWidth(width, 4, 'sinCosPositions2d');
  const table = new Float32Array(rows * columns * width);
  const half = width / 2;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * width;
      fillSinCos(table, at, half, column);
      fillSinCos(table, at + half, half, row);
    }
  }
  return table;
}

/** [frames * rows * columns, width] in (t, h, w) order: spatial 2-D plus temporal 1-D table. */
export function sinCosPositionsVideo(
  width: number,
  frames: number,
  rows: number,
  columns: number,
): Float32Array {
  const spatial = sinCosPositions2d(width, rows, columns);
  const temporal = sinCosPositions1d(width, frames);
  const table = new Float32Array(frames * spatial.length);
  for (let i = 0; i < table.length; i++) {
    const t = Math.floor(i / spatial.length);
    table[i] = (spatial[i % spatial.length] ?? 0) + (temporal[t * width + (i % width)] ?? 0);
  }
  return table;
}

const tables = new Map<string, Float32Array>();

/** The table [tokens, width] of one modality; the same array each time, so it must not be written to. */
export function positionTable(
  config: ModelConfig,
  modality: Modality,
  width: number,
): Float32Array {
  const [a = 1, b = 1, c = 1] = tokenGrid(config, modality);
  const key = `${modality} ${a} ${b} ${c} ${width}`;
  const known = tables.get(key);
  if (known !== undefined) return known;
  const made =
    modality === 'audio' ? sinCosPositions2d(width, a, b) : sinCosPositionsVideo(width, a, b, c);
  tables.set(key, made);
  return made;
}

function fillSinCos(table: Float32Array, at: number, width: number, position: number): void {
  const half = width / 2;
  for (let i = 0; i < half; i++) {
    const angle = position * 10000 ** (-i / half);
    table[at + i] = Math.sin(angle);
    table[at + half + i] = Math.cos(angle);
  }
}

function requireWidth(width: number, factor: number, where: string): void {
  if (!Number.isInteger(width) || width <= 0 || width % factor !== 0) {
    throw new ShapeError(`${where}: expected a width divisible by ${factor}, got ${width}`);
  }
}
