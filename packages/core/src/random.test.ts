// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readJsonFixture } from '@diffmavil/testkit';
import { describe, expect, it } from 'vitest';
import { ConfigError } from './errors.ts';
import { philox } from './philox.ts';
import {
  fold,
  keysTensorData,
  makeKey,
  normals,
  permutation,
  uniforms,
  uniformStream,
  type Key,
} from './random.ts';

interface Draws<Values> {
  readonly key: Key;
  readonly count: number;
  /** float32 as the integers of their bits. */
  readonly uniforms: Values;
  readonly normals: Values;
  readonly permutation: Values;
}

interface Fixture {
  readonly folds: readonly { key: Key; data: (number | string)[]; folded: Key }[];
  readonly draws: readonly Draws<number[]>[];
  /** SHA-256 of the little-endian bytes. */
  readonly million: Draws<string>;
}

const fixture = readJsonFixture('core_random/random.json') as Fixture;

function bits(values: Float32Array): number[] {
  return [...new Uint32Array(values.buffer)];
}

function sha256(values: Float32Array | Int32Array): string {
  return createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
}

describe('philox', () => {
  // Random123 1.14, tests/kat_vectors, philox4x32 10.
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('maps counter %j under key %j to the known answer', (counter, [key0, key1], answer) => {
    const words = Uint32Array.from(counter);
    philox(words, key0!, key1!);
    expect([...words].map((word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(answer);
  });
});

describe('normals', () => {
  it('have the bits of the C++ that the native kernels are made from', () => {
    // FNV-1a over the bits of 4e6 normals of key (0x0123456789abcdef, stream 7): printed by a C++ program compiled with
    // g++ 12.2 -O2 -ffp-contract=off.
    let hash = 2166136261;
    for (const word of bits(normals([0x89abcdef, 0x01234567, 7, 0], 4e6))) {
      hash = Math.imul(hash ^ word, 16777619);
    }
    expect((hash >>> 0).toString(16)).toBe('5bc4ebd0');
  });

  it('have the bits of the NumPy reference', () => {
    for (const { key, count, normals: expected } of fixture.draws) {
      expect(bits(normals(key, count))).toEqual(expected);
    }
    const { key, count, normals: expected } = fixture.million;
    expect(sha256(normals(key, count))).toBe(expected);
  });

  it('have the moments of the standard normal distribution', () => {
    const count = 1e6;
    const values = normals(fold(makeKey(1), 'moments'), count);
    const moment = (power: number): number =>
      values.reduce((sum, x) => sum + x ** power, 0) / count;
    // Five standard errors: 1, sqrt 2, sqrt 15 and sqrt 96 over sqrt(1e6).
    expect(Math.abs(moment(1))).toBeLessThan(0.005);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.0071);
    expect(Math.abs(moment(3))).toBeLessThan(0.0194);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.049);
    // P(|x| > 3) = 0.0027, standard error 5.2e-5; and no value beyond sqrt(-2 ln 2^-25) = 5.887.
    const beyond = values.filter((x) => Math.abs(x) > 3).length / count;
    expect(Math.abs(beyond - 0.0026998)).toBeLessThan(2.6e-4);
    expect(Math.max(...values.subarray(0, 1e5))).toBeLessThan(5.888);
  });

  it('of two streams are uncorrelated, element by element and shifted by one', () => {
    const count = 1e5;
    const key = makeKey(1);
    const a = normals(fold(key, 'clip', 1), count);
    const b = normals(fold(key, 'clip', 2), count);
    const product = (shift: number): number =>
      a.reduce((sum, x, i) => sum + x * b[(i + shift) % count]!, 0) / Math.sqrt(count);
    for (const shift of [0, 1, 4]) expect(Math.abs(product(shift))).toBeLessThan(5);
  });

  it('are the same whatever was drawn before, and a longer draw begins with the shorter', () => {
    const key = fold(makeKey(3), 'noise');
    const ten = normals(key, 10);
    normals(fold(key, 1), 7);
    expect([...normals(key, 10)]).toEqual([...ten]);
    expect([...normals(key, 33).subarray(0, 10)]).toEqual([...ten]);
    expect(normals(key, 0)).toEqual(new Float32Array());
  });
});

describe('uniforms', () => {
  it('have the bits of the NumPy reference', () => {
    for (const { key, count, uniforms: expected } of fixture.draws) {
      expect(bits(uniforms(key, count))).toEqual(expected);
    }
    const { key, count, uniforms: expected } = fixture.million;
    expect(sha256(uniforms(key, count))).toBe(expected);
  });

  it('fill [0, 1) evenly', () => {
    const values = uniforms(makeKey(5), 1e6);
    const counts = new Float64Array(100);
    for (const value of values) counts[Math.floor(value * 100)]!++;
    // Chi-squared with 99 degrees of freedom: mean 99, standard deviation 14; five of them.
    const chiSquared = counts.reduce((sum, count) => sum + (count - 1e4) ** 2 / 1e4, 0);
    expect(Math.abs(chiSquared - 99)).toBeLessThan(70);
  });

  it('come one by one from a stream', () => {
    const key = fold(makeKey(5), 'stream');
    const next = uniformStream(key);
    expect(Array.from({ length: 11 }, next)).toEqual([...uniforms(key, 11)]);
  });
});

describe('permutation', () => {
  it('is the stable argsort of the uniforms, as in NumPy', () => {
    for (const { key, count, permutation: expected } of fixture.draws) {
      expect([...permutation(key, count)]).toEqual(expected);
    }
    const { key, count, permutation: expected } = fixture.million;
    expect(sha256(permutation(key, count))).toBe(expected);
  });

  it('of three has all six orders equally often', () => {
    const key = makeKey(9);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = permutation(fold(key, i), 3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    // 1000 each, standard deviation 29; five of them.
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});

describe('fold', () => {
  it('gives the keys of the NumPy reference', () => {
    for (const { key, data, folded } of fixture.folds) expect(fold(key, ...data)).toEqual(folded);
  });

  it('folds one datum after another', () => {
    const key = makeKey(1);
    expect(fold(fold(key, 'mask'), 3, 'clip')).toEqual(fold(key, 'mask', 3, 'clip'));
    expect(fold(key)).toEqual(key);
  });

  it('gives each purpose, step and clip a stream of its own', () => {
    const key = makeKey(1);
    const streams = ['', '1', 'mask', 'noise', 'masknoise', 'mask\0'].flatMap((purpose) => [
      fold(key, purpose),
      ...Array.from({ length: 1000 }, (_, step) => fold(key, purpose, step)),
    ]);
    streams.push(fold(key, 'mask', 'noise'), fold(key, 1), fold(key, -1));
    expect(new Set(streams.map((stream) => stream.join())).size).toBe(6009);
  });

  it('refuses numbers that are no safe integers', () => {
    expect(() => fold(makeKey(1), 0.5)).toThrow(
      new ConfigError('fold: expected safe integers and strings, got 0.5'),
    );
  });
});

describe('makeKey', () => {
  it('splits the seed in two words', () => {
    expect(makeKey(0)).toEqual([0, 0, 0, 0]);
    expect(makeKey(2 ** 53 - 1)).toEqual([0xffffffff, 0x1fffff, 0, 0]);
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN])('refuses the seed %d', (seed) => {
    expect(() => makeKey(seed)).toThrow(
      new ConfigError(`makeKey: expected a seed in 0..9007199254740991, got ${seed}`),
    );
  });
});

describe('keysTensorData', () => {
  it('lays keys out as rows of int32 with the bits of the words', () => {
    expect([
      ...keysTensorData([
        [1, 2, 3, 4],
        [0xffffffff, 0x80000000, 0, 5],
      ]),
    ]).toEqual([1, 2, 3, 4, -1, -(2 ** 31), 0, 5]);
  });
});

describe('counts', () => {
  it.each([uniforms, normals, permutation])('out of range are refused by %o', (draw) => {
    expect(() => draw(makeKey(1), -1)).toThrow(
      new ConfigError(`${draw.name}: expected a count in 0..536870912, got -1`),
    );
  });
});
