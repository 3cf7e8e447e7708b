// SPDX-License-Identifier: Apache-2.0
// Sample order as a pure function of (seed, epoch, position): a Feistel network over the smallest even-bit domain that holds the data
// set, cycle-walked back into range. Nothing is stored, any position is reached directly, and the cursor is counted in samples, so a
// run resumes with any batch size and, later, any number of ranks.
import { type Key, fold, makeKey, uniformStream } from '@diffmavil/core';

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

/**
 * Index of the clip at `position` of an epoch that draws with replacement, each clip as often as its weight says.
 * @param cumulative Running sums of the clips' weights, none below 0, the last above 0.
 */
export function weightedClipAt(
  seed: number,
  epoch: number,
  cumulative: Float64Array,
  position: number,
): number {
  const total = cumulative.at(-1)!;
  const draw = uniformStream(fold(makeKey(seed), 'sample-weighted', epoch, position))() * total;
  let [low, high] = [0, cumulative.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cumulative[middle]! > draw) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Weight of each clip, `[clips]`: the sum over its classes of 1000 / (clips of the class + 0.01), so that rare classes come as often as
 * common ones [AudioMAE, MAViL §B].
 */
export function classWeights(clips: readonly { readonly labels: readonly string[] }[]): number[] {
  const counts = new Map<string, number>();
  for (const label of clips.flatMap(({ labels }) => labels)) {
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return clips.map(({ labels }) =>
    labels.reduce((sum, label) => sum + 1000 / (counts.get(label)! + 0.01), 0),
  );
}
