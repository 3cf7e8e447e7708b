// SPDX-License-Identifier: Apache-2.0
// Every fuzz case on one thread and on four: the same bits.
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from './loader.ts';
import { nativeOf } from './test-fuzz/case.ts';
import type { FuzzCase } from './test-fuzz/case.ts';
import { Fuzz } from './test-fuzz/draw.ts';
import { fuzzTable } from './test-fuzz/table.ts';
import { noAddon, skipNote, useNative } from './test-native.ts';

const threadsBefore = noAddon ? 0 : loadAddon().threads;

async function bytesOn(threads: number, one: FuzzCase): Promise<Uint8Array[]> {
  loadAddon().setThreads(threads);
  const results = await nativeOf(one);
  return results.map(({ values }) => new Uint8Array(values.buffer));
}

describe.skipIf(noAddon)(`bits by the number of threads${skipNote}`, () => {
  beforeEach(useNative);
  afterAll(() => {
    if (!noAddon) loadAddon().setThreads(threadsBefore);
  });

  it.each(Object.entries(fuzzTable))('%s has the same on one and on four', async (name, draw) => {
    for (const one of draw(new Fuzz(name))) {
      const [alone, together] = [await bytesOn(1, one), await bytesOn(4, one)];
      const others = alone.filter((bytes, i) => Buffer.compare(bytes, together[i]!) !== 0);
      expect({ title: one.title, others: others.length }).toEqual({ title: one.title, others: 0 });
    }
  });
});
