// SPDX-License-Identifier: Apache-2.0
// Every kernel of the device's backend against a reference on tfjs's cpu backend, over the seeded cases of test-fuzz/, which are those of the
// processor's; and twice, for the same bits.
import { beforeEach, describe, expect, it } from 'vitest';
import { checkCase, nativeOf } from '../test-fuzz/case.ts';
import type { Bound } from '../test-fuzz/case.ts';
import { Fuzz } from '../test-fuzz/draw.ts';
import { fuzzTable } from '../test-fuzz/table.ts';
import { cudaBackendName } from './backend.ts';
import { cudaKernels } from './kernels.ts';
import { noDevice, skipNote, useCuda } from './test-cuda.ts';

/** Where the device takes another way than the reference. */
const bounds: Readonly<Record<string, Bound>> = {
  // In another order.
  Cumsum: { nmse: 1e-10 },
  // Vectors of two numbers: what is left of a gradient across them is mostly rounding.
  DmInfoNce: { nmse: 1e-9 },
  DmInfoNceGrad: { nmse: 1e-9 },
};

describe.skipIf(noDevice)(`fuzz of diffmavil-cuda${skipNote}`, () => {
  beforeEach(async () => void (await useCuda()));

  it.each(cudaKernels.map(({ name }) => name))('%s agrees with its reference', async (name) => {
    let cases = 0;
    for (const one of fuzzTable[name]!(new Fuzz(name))) {
      await checkCase({ ...one, bound: bounds[name] ?? one.bound }, cudaBackendName);
      cases++;
    }
    expect(cases).toBeGreaterThan(2);
  });

  it.each(cudaKernels.map(({ name }) => name))('%s repeats bit for bit', async (name) => {
    for (const one of [...fuzzTable[name]!(new Fuzz(name))].slice(0, 3)) {
      const [first, second] = [
        await nativeOf(one, cudaBackendName),
        await nativeOf(one, cudaBackendName),
      ];
      expect({ title: one.title, results: second }).toEqual({ title: one.title, results: first });
    }
  });
});
