// SPDX-License-Identifier: Apache-2.0
// Errors by frequency. A field (a spectrogram, a frame) is taken apart by the orthonormal 2-D DCT, which keeps its energy, and the energy is
// gathered in bands of radial frequency: coarse structure first, detail last. Spectrograms are also scored by pitch, in bands of mel columns.
import { ConfigError } from '@diffmavil/core';

/** A field of numbers, row-major `[rows, columns]`. */
export interface Field {
  readonly values: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Energy (sum of squares) in `bands` equal bands of radial frequency, `[bands]`, of a field given by its cosine transform; they add up to the
 * field's own energy. The frequency of coefficient (u, v) is sqrt((u / rows)^2 + (v / columns)^2) of the Nyquist frequency; the corner
 * beyond 1 counts to the last band. With 8 bands the first holds what is coarser than 16 samples.
 */
export function radialBandEnergies({ values, rows, columns }: Field, bands: number): Float64Array {
  const energies = new Float64Array(bands);
  for (let u = 0; u < rows; u++) {
    for (let v = 0; v < columns; v++) {
      const band = Math.floor(bands * Math.sqrt((u / rows) ** 2 + (v / columns) ** 2));
      energies[Math.min(bands - 1, band)]! += values[u * columns + v]! ** 2;
    }
  }
  return energies;
}

/** The orthonormal DCT-II of a field along both axes, a field of the same shape. @throws ConfigError when the shape is not that of the values. */
export function cosineTransform({ values, rows, columns }: Field): Field {
  if (values.length !== rows * columns) {
    throw new ConfigError(
      `cosineTransform: expected ${rows} x ${columns} values, got ${values.length}`,
    );
  }
  const along = transformRows(values, rows, columns);
  const turned = transpose(along, rows, columns);
  const both = transpose(transformRows(turned, columns, rows), columns, rows);
  return { values: both, rows, columns };
}

function transformRows(values: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const table = cosineTable(columns);
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let k = 0; k < columns; k++) {
      let sum = 0;
      for (let n = 0; n < columns; n++) sum += table[k * columns + n]! * values[start + n]!;
      result[start + k] = sum;
    }
  }
  return result;
}

const tables = new Map<number, Float64Array>();

/** Row k: sqrt(2 / N) cos(pi (2 n + 1) k / (2 N)), halved in power for k = 0; orthonormal, `[N, N]`. */
function cosineTable(count: number): Float64Array {
  const known = tables.get(count);
  if (known !== undefined) return known;
  const table = Float64Array.from({ length: count * count }, (_, i) => {
    const [k, n] = [Math.floor(i / count), i % count];
    return k === 0
      ? Math.sqrt(1 / count)
      : Math.sqrt(2 / count) * Math.cos((Math.PI * (2 * n + 1) * k) / (2 * count));
  });
  tables.set(count, table);
  return table;
}

function transpose(values: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column]!;
    }
  }
  return result;
}

/** First column of each of `bands` bands of about equal width, and the number of columns at the end: `[bands + 1]`. */
export function columnBands(columns: number, bands: number): number[] {
  const count = Math.min(bands, columns);
  return Array.from({ length: count + 1 }, (_, i) => Math.round((i * columns) / count));
}

/** Energy of a field in bands of its columns, `[edges.length - 1]`; `edges` as `columnBands` makes them. */
export function columnBandEnergies(
  { values, rows, columns }: Field,
  edges: readonly number[],
): Float64Array {
  const energies = new Float64Array(edges.length - 1);
  for (let band = 0; band < energies.length; band++) {
    for (let row = 0; row < rows; row++) {
      for (let column = edges[band]!; column < edges[band + 1]!; column++) {
        energies[band]! += values[row * columns + column]! ** 2;
      }
    }
  }
  return energies;
}
