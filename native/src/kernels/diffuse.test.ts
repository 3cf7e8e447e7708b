// SPDX-License-Identifier: Apache-2.0
import { diffuse, fold, keysTensorData, makeKey, normals } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../loader.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

/** Noise alone: patches of zeros. */
function noise(keys: readonly Key[], masked: number, patchValues: number): Float32Array {
  const batch = keys.length;
  return tf.tidy(() => {
    const indices = tf.zeros([batch, masked], 'int32');
    const [signal, scale] = [tf.zeros([batch]), tf.ones([batch])];
    const noiseKeys = tf.tensor2d(keysTensorData(keys), [batch, 4], 'int32');
    const patches = tf.zeros([batch, 1, patchValues]);
    return diffuse(patches, indices, signal, scale, { keys: noiseKeys }).dataSync();
  }) as Float32Array;
}

const keys = [makeKey(0), makeKey(2 ** 53 - 1), fold(makeKey(7), 'noise', 3)];

describe.skipIf(noAddon)(`diffuse${skipNote}`, () => {
  beforeEach(useNative);

  it.each([
    [1, 1],
    [3, 5],
    [7, 1500],
    [1, 4097],
  ])('draws the normals of core, bit for bit: %i patches of %i values', (masked, values) => {
    const count = masked * values;
    const expected = new Float32Array(keys.length * count);
    for (const [i, key] of keys.entries()) expected.set(normals(key, count), i * count);
    expect(bits(noise(keys, masked, values))).toEqual(bits(expected));
  });

  it('has the hash that core has over a million draws', () => {
    const expected = hash(normals(makeKey(20), 1_000_000));
    for (const threads of [1, 4]) {
      loadAddon().setThreads(threads);
      expect(hash(noise([makeKey(20)], 1000, 1000))).toBe(expected);
    }
  });

  it('mixes without fusing, as core does', () => {
    const [patches, values] = ['patches', 'noise'].map((name) =>
      normals(fold(makeKey(1), name), 3000),
    );
    const y = tf.tidy(() => {
      const indices = tf.tensor2d([[2, 0]], undefined, 'int32');
      const [signal, scale] = [tf.tensor1d([0.3]), tf.tensor1d([0.7])];
      const given = tf.tensor3d(values!.subarray(0, 2000), [1, 2, 1000]);
      return diffuse(tf.tensor3d(patches!, [1, 3, 1000]), indices, signal, scale, {
        values: given,
      }).dataSync();
    });
    const { fround } = Math;
    const expected = Float32Array.from({ length: 2000 }, (_, i) => {
      const clean = patches![i < 1000 ? 2000 + i : i - 1000]!;
      return fround(fround(fround(0.3) * clean) + fround(fround(0.7) * values![i]!));
    });
    expect(bits(y as Float32Array)).toEqual(bits(expected));
  });

  it('refuses an index that is no token, in one sentence', () => {
    expect(() =>
      tf.tidy(() => {
        const indices = tf.tensor2d([[1, 3]], undefined, 'int32');
        const values = tf.zeros([1, 2, 4]);
        return diffuse(tf.zeros([1, 3, 4]), indices, tf.ones([1]), tf.ones([1]), { values });
      }),
    ).toThrow('DmDiffuse: expected indices 0..2, got 3');
  });
});

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** FNV-1a over 32-bit words. */
function hash(values: Float32Array): number {
  let result = 2166136261;
  for (const word of bits(values)) result = Math.imul(result ^ word, 16777619);
  return result >>> 0;
}
