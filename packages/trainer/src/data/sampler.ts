// SPDX-License-Identifier: Apache-2.0
// Sample order as a pure function of (seed, epoch, position): a Feistel network over the smallest even-bit domain that holds the data
// set, cycle-walked back into range. Nothing is stored, any position is reached directly, and the cursor is counted in samples, so a
// run resumes with any batch size and, later, any number of ranks.
import { type Key, fold, makeKey } from '@diffmavil/core';

const rounds = 4;

/**
 * Index of the clip at `position` of an epoch's order.
 * @param count Number of clips, 1 or more.
 * @param position 0-based; positions from `count` on repeat the epoch's order from its start, so that a place left by an unreadable
 *   clip is taken by another one.
 * @returns 0..count-1; over positions 0..count-1 each index occurs exactly once.
 */
export function clipAt(seed: number, epoch: number, count: number, position: number): number {
  const key = fold(makeKey(seed), 'sample-order', epoch);
  const halfBits = Math.max(1, Math.ceil(Math.log2(Math.max(2, count)) / 2));
  let value = position % count;
  do value = feistel(key, value, halfBits);
  while (value >= count);
  return value;
}

function feistel(key: Key, value: number, halfBits: number): number {
  const size = 2 ** halfBits;
  let left = Math.floor(value / size);
  let right = value % size;
  for (let round = 0; round < rounds; round++) {
    const mixed = fold(key, round, right)[2] % size;
    [left, right] = [right, (left + mixed) % size];
  }
  return left * size + right;
}
