// SPDX-License-Identifier: Apache-2.0
// Random tensors for differential tests, the same ones in every run.
import { fold, makeKey, uniformStream } from '@diffmavil/core';

export type Values = Float32Array | Int32Array | Uint8Array;

/** A tensor before it is on a backend. */
export interface Data {
  readonly values: Values;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32' | 'bool' | 'complex64';
}

export type Inputs = Readonly<Record<string, Data>> | readonly Data[];

/** Numbers that functions treat apart. */
const special: readonly number[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  1,
  -1,
  0.5,
  -2.5,
  1e-40,
  -1e-40,
  3e38,
  -3e38,
];

/** Draws, the same for the same name. */
export class Fuzz {
  readonly #draw: () => number;

  constructor(name: string) {
    this.#draw = uniformStream(fold(makeKey(20231004), name));
  }

  /** An integer, both ends included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.#draw() * (most - least + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)] as T;
  }

  /** Up to `rank` axes, few of them empty, some long. */
  shape(rank = 4): number[] {
    const axes = this.integer(0, rank);
    return Array.from({ length: axes }, () =>
      this.#draw() < 0.03 ? 0 : this.pick([1, 2, 3, 5, 8, 17]),
    );
  }

  /** float32 of either sign and many magnitudes, `specials` of them from the list above. */
  floats(shape: readonly number[], specials = 0.1, scale = 8): Data {
    const values = filled(new Float32Array(sizeOf(shape)), () => {
      if (this.#draw() < specials) return this.pick(special);
      const wide = this.#draw() < 0.1 ? 10 ** this.integer(-30, 30) : scale;
      return (2 * this.#draw() - 1) * wide;
    });
    return { values, shape, dtype: 'float32' };
  }

  /** float32 in -1..1, so that sums lose little; `wild` of them NaN or infinite. */
  plain(shape: readonly number[], wild = 0): Data {
    const values = filled(new Float32Array(sizeOf(shape)), () =>
      this.#draw() < wild ? this.pick([Number.NaN, Infinity, -Infinity]) : 2 * this.#draw() - 1,
    );
    return { values, shape, dtype: 'float32' };
  }

  ints(shape: readonly number[], most = 20): Data {
    const values = filled(new Int32Array(sizeOf(shape)), () => this.integer(-most, most));
    return { values, shape, dtype: 'int32' };
  }

  /** int32 in 0..length-1. */
  indices(shape: readonly number[], length: number): Data {
    const values = filled(new Int32Array(sizeOf(shape)), () => this.integer(0, length - 1));
    return { values, shape, dtype: 'int32' };
  }

  bools(shape: readonly number[]): Data {
    const values = filled(new Uint8Array(sizeOf(shape)), () => this.integer(0, 1));
    return { values, shape, dtype: 'bool' };
  }

  /** Any of the dtypes that live in native buffers. */
  any(shape: readonly number[]): Data {
    return this.pick([() => this.floats(shape), () => this.ints(shape), () => this.bools(shape)])();
  }

  /** 0..length-1 in another order. */
  order(length: number): number[] {
    const keys = Array.from({ length }, (_, i) => [this.#draw(), i] as const);
    return keys.toSorted(([a], [b]) => a - b).map(([, i]) => i);
  }

  /** Two shapes that broadcast against each other. */
  broadcast(): [number[], number[]] {
    const shape = this.shape();
    const shrink = (): number[] => {
      const axes = shape.map((length) => (this.#draw() < 0.3 ? 1 : length));
      return axes.slice(this.#draw() < 0.3 ? this.integer(0, axes.length) : 0);
    };
    return this.pick([
      [shape, shrink()],
      [shrink(), shape],
      [shape, shape],
    ]);
  }
}

/** Drawn values, of which a long array repeats the first few thousand: a prime number, so that no two rows are equal. */
function filled<T extends Values>(values: T, draw: () => number): T {
  const drawn = Math.min(values.length, 5003);
  for (let i = 0; i < drawn; i++) values[i] = draw();
  for (let i = drawn; i < values.length; i++) values[i] = values[i - drawn]!;
  return values;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
