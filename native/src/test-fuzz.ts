// SPDX-License-Identifier: Apache-2.0
// Differential tests: seeded random inputs for a kernel by name, natively and on tfjs's cpu backend. The same inputs run natively on one
// thread and on four, which must agree bit for bit.
import { fold, makeKey, uniformStream } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
import { loadAddon } from './loader.ts';
import { backendName } from './register.ts';

type Values = Float32Array | Int32Array | Uint8Array;

/** A tensor before it is on a backend. */
export interface Data {
  readonly values: Values;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32' | 'bool';
}

export type Inputs = Readonly<Record<string, Data>> | readonly Data[];

/** How far a float32 result may be from that of tfjs, in units of its last place or absolutely. */
export interface Bound {
  readonly ulp?: number;
  readonly abs?: number;
}

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
    const values = Float32Array.from({ length: sizeOf(shape) }, () => {
      if (this.#draw() < specials) return this.pick(special);
      const wide = this.#draw() < 0.1 ? 10 ** this.integer(-30, 30) : scale;
      return (2 * this.#draw() - 1) * wide;
    });
    return { values, shape, dtype: 'float32' };
  }

  /** float32 in -1..1, so that sums lose little; `wild` of them NaN or infinite. */
  plain(shape: readonly number[], wild = 0): Data {
    const values = Float32Array.from({ length: sizeOf(shape) }, () =>
      this.#draw() < wild ? this.pick([Number.NaN, Infinity, -Infinity]) : 2 * this.#draw() - 1,
    );
    return { values, shape, dtype: 'float32' };
  }

  ints(shape: readonly number[], most = 20): Data {
    const values = Int32Array.from({ length: sizeOf(shape) }, () => this.integer(-most, most));
    return { values, shape, dtype: 'int32' };
  }

  bools(shape: readonly number[]): Data {
    const values = Uint8Array.from({ length: sizeOf(shape) }, () => this.integer(0, 1));
    return { values, shape, dtype: 'bool' };
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

/** Runs a kernel everywhere and throws, with the inputs, unless the results agree. It may not be delegated. */
export async function expectSameKernel(
  name: string,
  inputs: Inputs,
  attrs: tf.NamedAttrMap,
  bound: Bound = {},
): Promise<void> {
  const expected = await runOn('cpu', name, inputs, attrs);
  const addon = loadAddon();
  const { threads } = addon;
  resetDelegatedKernels();
  try {
    for (const count of [1, 4]) {
      addon.setThreads(count);
      const got = await runOn(backendName, name, inputs, attrs);
      const reference = count === 1 ? expected : first;
      for (const [i, result] of got.entries()) {
        const other = reference[i] as Data;
        const problem = difference(result, other, count === 1 ? bound : {});
        if (problem !== null)
          throw new Error(`${describe(name, inputs, attrs)}, ${count} threads: ${problem}`);
      }
      first = got;
    }
  } finally {
    addon.setThreads(threads);
  }
  const delegated = delegatedKernels();
  if (Object.keys(delegated).length > 0) {
    throw new Error(`${describe(name, inputs, attrs)}: delegated ${JSON.stringify(delegated)}`);
  }
}

let first: readonly Data[] = [];

async function runOn(
  backend: string,
  name: string,
  inputs: Inputs,
  attrs: tf.NamedAttrMap,
): Promise<Data[]> {
  await tf.setBackend(backend);
  const scope = tf.engine();
  return tf.tidy(() => {
    const tensors = Array.isArray(inputs)
      ? inputs.map(upload)
      : Object.fromEntries(Object.entries(inputs).map(([key, data]) => [key, upload(data)]));
    const result: unknown = scope.runKernel(name, tensors as tf.NamedTensorMap, attrs);
    const results = (Array.isArray(result) ? result : [result]) as tf.Tensor[];
    return results.map(({ shape, dtype, dataId }) => ({
      shape,
      dtype: dtype as Data['dtype'],
      values: typed(tf.backend().readSync(dataId) as Values, dtype),
    }));
  });
}

function upload({ values, shape, dtype }: Data): tf.Tensor {
  return tf.tensor(values, [...shape], dtype);
}

/** tfjs's cpu backend renames some results without converting their values. */
function typed(values: Values, dtype: string): Values {
  if (dtype === 'float32') return Float32Array.from(values);
  return dtype === 'int32' ? Int32Array.from(values) : Uint8Array.from(values);
}

/** What differs, or null. NaN equals NaN, and -0 equals 0. */
function difference(got: Data, expected: Data, { ulp = 0, abs = 0 }: Bound): string | null {
  const kinds = [got, expected].map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`);
  if (kinds[0] !== kinds[1]) return `expected ${kinds[1]}, got ${kinds[0]}`;
  for (const [i, value] of expected.values.entries()) {
    const ours = got.values[i] as number;
    if (ours === value || (Number.isNaN(ours) && Number.isNaN(value))) continue;
    const most = Number.isFinite(value) ? Math.max(abs, ulp * lastPlace(value)) : 0;
    if (!(Math.abs(ours - value) <= most)) return `expected ${value} at ${i}, got ${ours}`;
  }
  return null;
}

/** The distance of a float32 from its neighbour. */
function lastPlace(value: number): number {
  const exponent = Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -126)));
  return 2 ** (Math.max(exponent, -126) - 23);
}

function describe(name: string, inputs: Inputs, attrs: tf.NamedAttrMap): string {
  const parts = Object.entries(inputs).map(([key, { values, shape, dtype }]) => {
    const few = values.length <= 12 ? ` ${[...values].map(String).join(' ')}` : '';
    return `${key}: ${dtype} [${shape.join(', ')}]${few}`;
  });
  return `${name}(${parts.join('; ')}; ${JSON.stringify(attrs)})`;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
