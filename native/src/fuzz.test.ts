// SPDX-License-Identifier: Apache-2.0
// Every native kernel against a reference on tfjs's cpu backend, over the seeded cases of test-fuzz/.
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { delegableKernels } from './delegate.ts';
import { nativeKernels } from './kernels/index.ts';
import { backendName } from './register.ts';
import { checkCase } from './test-fuzz/case.ts';
import { Fuzz } from './test-fuzz/draw.ts';
import { fuzzTable } from './test-fuzz/table.ts';
import { noAddon, skipNote, useNative } from './test-native.ts';

describe('the table of fuzz cases', () => {
  it('names every native kernel, and no other', () => {
    const names = nativeKernels.map(({ name }) => name).toSorted();
    expect(Object.keys(fuzzTable).toSorted()).toEqual(names);
  });
});

describe('the list of kernels in the README', () => {
  it('is that of the kernels that are registered', () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const [, section = ''] = readme.split('## Kernels\n');
    const [ours, ops, handed] = section
      .split(':\n\n')
      .slice(1)
      .map((text) => (text.split('\n\n')[0] ?? '').replaceAll('`', '').split(/,\s+/));
    const native = nativeKernels.map(({ name }) => name).toSorted();
    const isOp = (name: string): boolean => name.startsWith('Dm');
    expect(ours).toEqual(native.filter((name) => !isOp(name)));
    expect(ops).toEqual(native.filter(isOp));
    const rest = delegableKernels().map(({ kernelName }) => kernelName);
    expect(handed).toEqual(rest.filter((name) => !native.includes(name)).toSorted());
  });
});

describe.skipIf(noAddon)(`fuzz${skipNote}`, () => {
  beforeEach(useNative);

  it.each(Object.entries(fuzzTable))('%s agrees with its reference', async (name, draw) => {
    let cases = 0;
    for (const one of draw(new Fuzz(name))) {
      await checkCase(one);
      cases++;
    }
    expect(cases).toBeGreaterThan(2);
  });

  it.each(Object.entries(fuzzTable))('the cases of %s run it', async (name, draw) => {
    const [one] = draw(new Fuzz(name));
    await tf.setBackend(backendName);
    tf.engine().startScope();
    const { kernelNames } = await tf.profile(one!.run);
    tf.engine().endScope();
    expect(kernelNames).toContain(name);
  });
});
