// SPDX-License-Identifier: Apache-2.0
// Geometry of windowed attention over a grid of tokens (Swin: windows, cyclic shift, relative
// position bias), as plain numbers: the order of tokens by window, the mask between regions that
// the shift wraps together, and the index of the bias table.
//
// Grid [rows, columns], tokens row-major. Window [a, b]. N = a*b tokens in a window. d = query -
// key, in rows and columns. Bias index: (dr + a - 1) * (2b - 1) + (dc + b - 1), of a table with (2a
// - 1)(2b - 1) rows.
import { ShapeError } from '../errors.ts';
import { formatShape } from '../shapes.ts';

type Pair = readonly [number, number];

/** Windows over a grid of tokens. */
export interface WindowOptions {
  /** Rows and columns of the grid; tokens are row-major. */
  readonly grid: Pair;
  /** Rows and columns of a window; each divides the grid's. */
  readonly size: Pair;
  /**
   * Rows and columns by which the grid is rolled (towards the start) before it is cut. An axis
   * whose grid is no longer than the window is not shifted, whatever this says: there is one window
   * along it, and a shift would only cut it apart.
   */
  readonly shift: Pair;
}

export interface WindowPlan {
  readonly windows: number;
  /** N. */
  readonly windowTokens: number;
  /**
   * Token of the grid at each place of the window order (windows row-major, tokens row-major in
   * each).
   */
  readonly order: Int32Array;
  /** Place in the window order of each token of the grid. */
  readonly inverse: Int32Array;
  /**
   * [windows, N, N]: 0 within a region, -100 between regions that only the roll made neighbours;
   * null without a shift.
   */
  readonly mask: Float32Array | null;
  /** Row of the bias table for each (query, key) of a window: [N, N]. */
  readonly biasIndex: Int32Array;
  /**
   * biasIndex as one-hot columns: [(2a - 1)(2b - 1), N * N]. The product with it is the gather, and
   * its own gradient.
   */
  readonly biasOneHot: Float32Array;
}

const plans = new Map<string, WindowPlan>();

/** Rows of the relative position bias table of a window: (2a - 1)(2b - 1). */
export function biasTableRows([a, b]: Pair): number {
  return (2 * a - 1) * (2 * b - 1);
}

/**
 * The plan of a window layout; made once for each layout.
 *
 * @throws ShapeError when the window does not divide the grid, or the shift is not shorter than the
 * window.
 */
export function windowPlan({ grid, size, shift }: WindowOptions, where: string): WindowPlan {
  const key = `${grid.join()}/${size.join()}/${shift.join()}`;
  const known = plans.get(key);
  if (known !== undefined) return known;
  const numbers = [...grid, ...size];
  const divides = grid[0] % size[0] === 0 && grid[1] % size[1] === 0;
  if (!divides || !numbers.every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(
      `${where}: expected a grid that the window divides, ` +
        `got grid ${formatShape(grid)} and window ${formatShape(size)}`,
    );
  }
  if (!shift.every((n, axis) => Number.isInteger(n) && n >= 0 && n < (size[axis] ?? 0))) {
    throw new ShapeError(
      `${where}: expected a shift shorter than the window, ` +
        `got shift ${formatShape(shift)} and window ${formatShape(size)}`,
    );
  }
  const plan = makePlan(grid, size, shift);
  plans.set(key, plan);
  return plan;
}

function makePlan(grid: Pair, size: Pair, wanted: Pair): WindowPlan {
  const [rows, columns] = grid;
  const [a, b] = size;
  const shift: Pair = [rows > a ? wanted[0] : 0, columns > b ? wanted[1] : 0];
  const windowTokens = a * b;
  const order = new Int32Array(rows * columns);
  const regions = new Int32Array(rows * columns);
  for (let place = 0; place < order.length; place++) {
    const window = Math.floor(place / windowTokens);
    const within = place % windowTokens;
    const perRow = columns / b;
    const row = Math.floor(window / perRow) * a + Math.floor(within / b);
    const column = (window % perRow) * b + (within % b);
    order[place] = ((row + shift[0]) % rows) * columns + ((column + shift[1]) % columns);
    regions[place] = 3 * band(row, rows, a, shift[0]) + band(column, columns, b, shift[1]);
  }
  const inverse = new Int32Array(order.length);
  order.forEach((token, place) => (inverse[token] = place));
  const biasIndex = biasIndices(size);
  const shifted = shift[0] > 0 || shift[1] > 0;
  return {
    windows: order.length / windowTokens,
    windowTokens,
    order,
    inverse,
    mask: shifted ? maskBetween(regions, windowTokens) : null,
    biasIndex,
    biasOneHot: oneHotColumns(biasIndex, biasTableRows(size)),
  };
}

/**
 * Which of three bands a position of the rolled grid is in: before the last window, its first part,
 * its wrapped part.
 */
function band(position: number, length: number, window: number, shift: number): number {
  if (shift === 0 || position < length - window) return 0;
  return position < length - shift ? 1 : 2;
}

function maskBetween(regions: Int32Array, windowTokens: number): Float32Array {
  const mask = new Float32Array(regions.length * windowTokens);
  for (let query = 0; query < regions.length; query++) {
    const start = query - (query % windowTokens);
    for (let key = 0; key < windowTokens; key++) {
      if (regions[query] !== regions[start + key]) mask[query * windowTokens + key] = -100;
    }
  }
  return mask;
}

function biasIndices([a, b]: Pair): Int32Array {
  const tokens = a * b;
  return Int32Array.from({ length: tokens * tokens }, (_, i) => {
    const [query, key] = [Math.floor(i / tokens), i % tokens];
    const rowOffset = Math.floor(query / b) - Math.floor(key / b);
    const columnOffset = (query % b) - (key % b);
    return (rowOffset + a - 1) * (2 * b - 1) + (columnOffset + b - 1);
  });
}

function oneHotColumns(indices: Int32Array, rows: number): Float32Array {
  const oneHot = new Float32Array(rows * indices.length);
  indices.forEach((row, column) => (oneHot[row * indices.length + column] = 1));
  return oneHot;
}
