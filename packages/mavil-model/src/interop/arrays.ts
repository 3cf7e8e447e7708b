// SPDX-License-Identifier: Apache-2.0
// What other models' weights have to go through to become ours, on plain arrays: other orders of axes, split or fused
// matrices, fewer or more channels and frames, other grids. Nothing here knows a file format.
import { ShapeError } from '@diffmavil/core';

/** Values of one weight, row-major. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The same values as another shape of the same size. */
export function reshaped({ data }: Values, ...shape: number[]): Values {
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== data.length) {
    throw new ShapeError(`interop: expected ${size} values, got ${data.length}`);
  }
  return { shape, data };
}

export function zeros(...shape: number[]): Values {
  return { shape, data: new Float32Array(shape.reduce((product, n) => product * n, 1)) };
}

/** Axes in another order: axis i of the result is axis `order[i]` of `x`. */
export function transposed(x: Values, order: readonly number[]): Values {
  const shape = order.map((axis) => x.shape[axis] ?? 1);
  const strides = x.shape.map((_, axis) => x.shape.slice(axis + 1).reduce((p, n) => p * n, 1));
  const data = new Float32Array(x.data.length);
  const at = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    let from = 0;
    for (const [axis, source] of order.entries()) from += (at[axis] ?? 0) * (strides[source] ?? 0);
    data[i] = x.data[from] ?? 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at[axis] = ((at[axis] ?? 0) + 1) % (shape[axis] ?? 1);
      if (at[axis] !== 0) break;
    }
  }
  return { shape, data };
}

/** The parts one after another along the first axis. */
export function stacked(parts: readonly Values[]): Values {
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  const rows = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  return { shape: [rows, ...(parts[0]?.shape.slice(1) ?? [])], data };
}

/** Element by element. */
export function added(a: Values, b: Values): Values {
  return { shape: a.shape, data: a.data.map((x, i) => x + (b.data[i] ?? 0)) };
}

/** Convolution kernel [out, channels, frames, rows, columns] -> linear weight on patches [out, frames * rows * columns * channels]. */
export function tubeletKernel(kernel: Values): Values {
  const [out = 0] = kernel.shape;
  const flat = transposed(kernel, [0, 2, 3, 4, 1]);
  return reshaped(flat, out, kernel.data.length / out);
}

/** How an image kernel becomes one of `frames` frames: spread evenly, or put into the middle one [ViViT §3.4, MBT]. */
export type Inflation = 'average' | 'central';

/** [out, channels, rows, columns] -> [out, channels, frames, rows, columns]. */
export function inflatedKernel(kernel: Values, frames: number, inflation: Inflation): Values {
  const [out = 0, channels = 0, rows = 0, columns = 0] = kernel.shape;
  const plane = rows * columns;
  const data = new Float32Array(kernel.data.length * frames);
  const middle = Math.floor(frames / 2);
  for (let i = 0; i < out * channels; i++) {
    const values = kernel.data.subarray(i * plane, (i + 1) * plane);
    for (let frame = 0; frame < frames; frame++) {
      if (inflation === 'central' && frame !== middle) continue;
      const scale = inflation === 'central' ? 1 : 1 / frames;
      data.set(
        values.map((x) => x * scale),
        (i * frames + frame) * plane,
      );
    }
  }
  return { shape: [out, channels, frames, rows, columns], data };
}

/** Colours summed, so that grey in all three gives what grey in one gives [AST §2.2]: [out, c, rows, columns] -> [out, 1, rows, columns]. */
export function monoKernel(kernel: Values): Values {
  const [out = 0, channels = 0, rows = 0, columns = 0] = kernel.shape;
  const plane = rows * columns;
  const data = new Float32Array(out * plane);
  for (let i = 0; i < kernel.data.length; i++) {
    const at = Math.floor(i / (channels * plane)) * plane + (i % plane);
    data[at] = (data[at] ?? 0) + (kernel.data[i] ?? 0);
  }
  return { shape: [out, 1, rows, columns], data };
}

/** Table of tokens [1, tokens, width] cut into its first `count` rows [1, count, width] and the rest. */
export function splitTable(table: Values, count: number): { first: Values; rest: Values } {
  const [, tokens = 0, width = 0] = table.shape;
  return {
    first: { shape: [1, count, width], data: table.data.slice(0, count * width) },
    rest: { shape: [1, tokens - count, width], data: table.data.slice(count * width) },
  };
}

/** Table [1, frequencies * times, width], frequency-major, as time-major. */
export function timeMajorTable(table: Values, frequencies: number, times: number): Values {
  const [, tokens = 0, width = 0] = table.shape;
  const grid = reshaped(table, frequencies, times, width);
  return reshaped(transposed(grid, [1, 0, 2]), 1, tokens, width);
}

/** Spatial table [1, places, width] + temporal table [1, times, width] -> [1, times * places, width], (t, place)-major. */
export function separableTable(spatial: Values, temporal: Values): Values {
  const [, places = 0, width = 0] = spatial.shape;
  const [, times = 0] = temporal.shape;
  const data = new Float32Array(times * places * width);
  for (let i = 0; i < data.length; i++) {
    const time = Math.floor(i / (places * width));
    const at = i % (places * width);
    data[i] = (spatial.data[at] ?? 0) + (temporal.data[time * width + (at % width)] ?? 0);
  }
  return { shape: [1, times * places, width], data };
}

/** VideoMAE's fixed table [1, tokens, width]: even columns sin(p w), odd ones cos(p w), w = 10000^(-2 floor(i/2) / width). */
export function interleavedTable(tokens: number, width: number): Values {
  const data = Float32Array.from({ length: tokens * width }, (_, at) => {
    const [position, column] = [Math.floor(at / width), at % width];
    const angle = position / 10000 ** ((2 * Math.floor(column / 2)) / width);
    return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
  return { shape: [1, tokens, width], data };
}

type Grid = readonly [number, number];

/** Table [1, from rows * columns, width] on another grid, bicubic as PyTorch's (align_corners false, a = -0.75) [MAE, DeiT]. */
export function resizedTable(table: Values, from: Grid, to: Grid): Values {
  const [, , width = 0] = table.shape;
  if (from[0] === to[0] && from[1] === to[1]) return table;
  const rows = cubicWeights(from[0], to[0]);
  const columns = cubicWeights(from[1], to[1]);
  const data = new Float32Array(to[0] * to[1] * width);
  for (const [r, rowTaps] of rows.entries()) {
    for (const [c, columnTaps] of columns.entries()) {
      const at = (r * to[1] + c) * width;
      for (const [row, a] of rowTaps) {
        for (const [column, b] of columnTaps) {
          const source = (row * from[1] + column) * width;
          for (let i = 0; i < width; i++) {
            data[at + i] = (data[at + i] ?? 0) + a * b * (table.data[source + i] ?? 0);
          }
        }
      }
    }
  }
  return { shape: [1, to[0] * to[1], width], data };
}

/** For each of `to` positions, the four of `from` it is made of and their weights; those outside repeat the edge. */
function cubicWeights(from: number, to: number): [number, number][][] {
  return Array.from({ length: to }, (_, i) => {
    const position = ((i + 0.5) * from) / to - 0.5;
    const base = Math.floor(position);
    return [-1, 0, 1, 2].map((step): [number, number] => [
      Math.min(Math.max(base + step, 0), from - 1),
      cubic(position - base - step),
    ]);
  });
}

/** Keys' cubic convolution with a = -0.75. */
function cubic(distance: number): number {
  const x = Math.abs(distance);
  const a = -0.75;
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}
