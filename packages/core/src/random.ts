// SPDX-License-Identifier: Apache-2.0
// Keyed random numbers: a draw is a pure function of its key and its index, so order, workers and resuming cannot change it.
// A key is a seed and a stream; `fold` derives the stream of a purpose, a step, a clip. Bits are equal in C++ and CUDA.
import { ConfigError } from './errors.ts';
import { normalBlock, philox } from './philox.ts';

/** Four uint32: the seed (the Philox key) and the stream (the upper half of the Philox counter). */
export type Key = readonly [seedLo: number, seedHi: number, streamLo: number, streamHi: number];

// Choice: fold runs Philox under keys that no draw uses, one per kind of datum, so a number, a string and a draw never meet.
const numberTag = 0x6e756d62;
const stringTag = 0x73747269;
const utf8 = new TextEncoder();

/**
 * The key of a seed, stream 0.
 *
 * @param seed an integer in 0..2^53-1.
 * @throws ConfigError for any other number.
 */
export function makeKey(seed: number): Key {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ConfigError(`makeKey: expected a seed in 0..${Number.MAX_SAFE_INTEGER}, got ${seed}`);
  }
  return [seed >>> 0, highWord(seed), 0, 0];
}

/**
 * Derives the key of another stream of the same seed: `fold(key, 'mask', step, clip)`. Numbers are safe integers, strings
 * count by their UTF-8 bytes; `fold(fold(key, a), b)` is `fold(key, a, b)`, and `1` is not `'1'`.
 *
 * @throws ConfigError for a number that is no safe integer.
 */
export function fold(key: Key, ...data: readonly (number | string)[]): Key {
  let folded = key;
  for (const datum of data) {
    folded = typeof datum === 'number' ? foldNumber(folded, datum) : foldString(folded, datum);
  }
  return folded;
}

/** `count` draws in [0, 1), each a multiple of 2^-24: elements 0..count-1 of the stream. */
export function uniforms(key: Key, count: number): Float32Array {
  checkCount('uniforms', count);
  const values = new Float32Array(count);
  const words = new Uint32Array(4);
  for (let start = 0; start < count; start += 4) {
    drawBlock(key, start / 4, words);
    const end = Math.min(count - start, 4);
    for (let i = 0; i < end; i++) values[start + i] = (words[i]! >>> 8) * 2 ** -24;
  }
  return values;
}

/** `count` draws from the standard normal distribution: elements 0..count-1 of the stream. */
export function normals(key: Key, count: number): Float32Array {
  checkCount('normals', count);
  const values = new Float32Array(count);
  const words = new Uint32Array(4);
  const four = new Float32Array(4);
  for (let start = 0; start < count; start += 4) {
    drawBlock(key, start / 4, words);
    if (start + 4 <= count) {
      normalBlock(words, values, start);
    } else {
      normalBlock(words, four, 0);
      values.set(four.subarray(0, count - start), start);
    }
  }
  return values;
}

/** A function whose calls return the elements of `uniforms(key, …)` one after another. */
export function uniformStream(key: Key): () => number {
  const words = new Uint32Array(4);
  let index = 0;
  return () => {
    if (index % 4 === 0) drawBlock(key, index / 4, words);
    return (words[index++ % 4]! >>> 8) * 2 ** -24;
  };
}

/** A random order of 0..length-1: the stable argsort of `uniforms(key, length)`. */
export function permutation(key: Key, length: number): Int32Array {
  checkCount('permutation', length);
  // 24 bits of draw times length plus index is exact in a double up to length 2^29, and sorts as (draw, index).
  const sorted = new Float64Array(length);
  for (const [i, draw] of uniforms(key, length).entries()) sorted[i] = draw * 2 ** 24 * length + i;
  sorted.sort();
  return Int32Array.from(sorted, (value) => value % length);
}

/** The keys as the data of an int32 tensor `[keys, 4]`, for ops that draw their own noise. */
export function keysTensorData(keys: readonly Key[]): Int32Array {
  return Int32Array.from(keys.flat());
}

function drawBlock(key: Key, block: number, words: Uint32Array): void {
  words[0] = block;
  words[1] = highWord(block);
  words[2] = key[2];
  words[3] = key[3];
  philox(words, key[0], key[1]);
}

function foldNumber(key: Key, value: number): Key {
  if (!Number.isSafeInteger(value)) {
    throw new ConfigError(`fold: expected safe integers and strings, got ${value}`);
  }
  return absorb(key, numberTag, value >>> 0, highWord(value));
}

function foldString(key: Key, value: string): Key {
  const bytes = utf8.encode(value);
  const padded = new DataView(new ArrayBuffer(Math.ceil(bytes.length / 8) * 8));
  for (const [i, byte] of bytes.entries()) padded.setUint8(i, byte);
  let folded = absorb(key, stringTag, bytes.length, 0);
  for (let i = 0; i < padded.byteLength; i += 8) {
    folded = absorb(folded, stringTag, padded.getUint32(i, true), padded.getUint32(i + 4, true));
  }
  return folded;
}

function absorb(key: Key, tag: number, low: number, high: number): Key {
  const words = Uint32Array.of(low, high, key[2], key[3]);
  philox(words, key[0], (key[1] ^ tag) >>> 0);
  return [key[0], key[1], words[0]!, words[1]!];
}

/** Bits 32..63 of a safe integer in two's complement. */
function highWord(value: number): number {
  return Math.floor(value / 2 ** 32) >>> 0;
}

function checkCount(where: string, count: number): void {
  if (!Number.isInteger(count) || count < 0 || count > 2 ** 29) {
    throw new ConfigError(`${where}: expected a count in 0..${2 ** 29}, got ${count}`);
  }
}
