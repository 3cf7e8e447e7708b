// SPDX-License-Identifier: Apache-2.0
// Closeness of numbers, written so that NaN fails: every test is `!(error <= tolerance)`.
import type { Tensor } from '@tensorflow/tfjs-core';

export type Numbers = Tensor | ArrayLike<number> | number;

/** Each bound given is asserted; with none, `nmse: 1e-7`. */
export interface Tolerance {
  /** Bound of sum (actual - expected)^2 / sum expected^2. */
  readonly nmse?: number;
  /** Bound of |actual - expected|, element by element. */
  readonly maxAbs?: number;
  /** Bound of |actual - expected| / |expected|, element by element. */
  readonly maxRel?: number;
}

/**
 * Throws unless `actual` is close to `expected`: same length, same shape when both are tensors, every bound kept. Equal
 * infinities are close; NaN is close to nothing.
 */
export function expectClose(actual: Numbers, expected: Numbers, tolerance: Tolerance = {}): void {
  const shapes = [actual, expected].map((x) => (isTensor(x) ? `[${x.shape.join(', ')}]` : null));
  if (shapes[0] !== null && shapes[1] !== null && shapes[0] !== shapes[1]) {
    throw new Error(`expectClose: expected shape ${shapes[1]}, got ${shapes[0]}`);
  }
  const a = numbersOf(actual);
  const e = numbersOf(expected);
  if (a.length !== e.length) {
    throw new Error(`expectClose: expected ${e.length} numbers, got ${a.length}`);
  }
  const errors = measure(a, e);
  const bounds = Object.keys(tolerance).length === 0 ? { nmse: 1e-7 } : tolerance;
  const { nmse = Infinity, maxAbs = Infinity, maxRel = Infinity } = bounds;
  check('nmse', errors.nmse, nmse, '');
  check('maxAbs', errors.maxAbs, maxAbs, errors.worstAbs);
  check('maxRel', errors.maxRel, maxRel, errors.worstRel);
}

interface Errors {
  readonly nmse: number;
  readonly maxAbs: number;
  readonly maxRel: number;
  readonly worstAbs: string;
  readonly worstRel: string;
}

function measure(a: ArrayLike<number>, e: ArrayLike<number>): Errors {
  let [squares, power, maxAbs, maxRel] = [0, 0, 0, 0];
  let [worstAbs, worstRel] = ['', ''];
  for (let i = 0; i < a.length; i++) {
    const [actual, expected] = [a[i]!, e[i]!];
    const error = actual === expected ? 0 : Math.abs(actual - expected);
    const relative = error === 0 ? 0 : error / Math.abs(expected);
    const at = ` at ${i}: expected ${expected}, got ${actual}`;
    squares += error * error;
    power += Number.isFinite(expected) ? expected * expected : 0;
    if (!(error <= maxAbs)) [maxAbs, worstAbs] = [worse(maxAbs, error), at];
    if (!(relative <= maxRel)) [maxRel, worstRel] = [worse(maxRel, relative), at];
  }
  const nmse = squares === 0 ? 0 : squares / power;
  return { nmse, maxAbs, maxRel, worstAbs, worstRel };
}

/** The larger error; NaN is the largest. */
function worse(a: number, b: number): number {
  return Number.isNaN(a) ? a : b;
}

function check(name: string, error: number, bound: number, at: string): void {
  if (!(error <= bound))
    throw new Error(`expectClose: expected ${name} <= ${bound}, got ${error}${at}`);
}

function isTensor(x: Numbers): x is Tensor {
  return typeof x === 'object' && 'dataSync' in x;
}

function numbersOf(x: Numbers): ArrayLike<number> {
  if (typeof x === 'number') return [x];
  return isTensor(x) ? x.dataSync() : x;
}
