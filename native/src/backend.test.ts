// SPDX-License-Identifier: Apache-2.0
import { expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NativeBackend } from './backend.ts';
import { loadAddon } from './loader.ts';
import { registerNative } from './register.ts';
import { noAddon, skipNote, useNative } from './test-native.ts';

/** Around the 16 elements that stay in JavaScript, and none at all. */
const sizes = [0, 1, 16, 17, 1000];

describe.skipIf(noAddon)(`the backend diffmavil-cpu${skipNote}`, () => {
  let collect: () => void;

  beforeAll(() => {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  });
  beforeEach(useNative);

  it.each(sizes)('returns %i numbers as they were written, in every dtype', async (size) => {
    const numbers = Array.from({ length: size }, (_, i) => 3 * i - 7);
    const values = {
      float32: Float32Array.from(numbers, (x) => x / 3),
      int32: Int32Array.from(numbers),
      bool: Uint8Array.from(numbers, (x) => x & 1),
    };
    for (const [dtype, written] of Object.entries(values)) {
      const x = tf.tensor1d(written, dtype as 'float32');
      expect(x.dataSync()).toEqual(written);
      expect(await x.data()).toEqual(written);
      x.dispose();
    }
  });

  it.each(sizes)('returns %i strings and complex numbers as they were written', (size) => {
    const names = Array.from({ length: size }, (_, i) => `clip ${i} Ω`);
    const real = Float32Array.from({ length: size }, (_, i) => i);
    const imag = Float32Array.from({ length: size }, (_, i) => -i / 2);
    tf.tidy(() => {
      expect(tf.tensor1d(names, 'string').dataSync()).toEqual(names);
      const x = tf.complex(real, imag);
      expect(tf.real(x).dataSync()).toEqual(real);
      expect(tf.imag(x).dataSync()).toEqual(imag);
      const pairs = Float32Array.from({ length: 2 * size }, (_, i) =>
        i % 2 === 0 ? (real[i / 2] ?? 0) : (imag[(i - 1) / 2] ?? 0),
      );
      expect(x.dataSync()).toEqual(pairs);
    });
  });

  it.each([4, 40])('keeps a copy of %i values, so that the array can be used again', (size) => {
    const values = new Float32Array(size).fill(1);
    const x = tf.tensor1d(values);
    values.fill(2);
    expect(x.dataSync()).toEqual(new Float32Array(size).fill(1));
    x.dataSync().fill(3);
    expect(x.dataSync()).toEqual(new Float32Array(size).fill(1));
    x.dispose();
  });

  it('gives memory back on dispose, and a second dispose does nothing', () => {
    const { table } = (tf.backend() as NativeBackend).binding;
    const { inUse } = table.memory();
    const x = tf.tensor1d(new Float32Array(1024));
    const alias = tf.reshape(x, [32, 32]);
    expect(table.memory().inUse).toBe(inUse + 4096);
    x.dispose();
    x.dispose();
    expect(table.memory().inUse).toBe(inUse + 4096);
    expect(alias.dataSync()).toHaveLength(1024);
    alias.dispose();
    alias.dispose();
    expect(table.memory().inUse).toBe(inUse);
  });

  it('counts its bytes in tf.memory()', () => {
    const before = tf.memory() as unknown as Record<string, number>;
    const x = tf.tensor1d(new Float32Array(1 << 20));
    const during = tf.memory() as unknown as Record<string, number>;
    expect(during['numBytesAllocated']).toBe((before['numBytesAllocated'] ?? 0) + (4 << 20));
    expect(during['numBytesPeak']).toBeGreaterThanOrEqual(during['numBytesAllocated'] ?? 0);
    expect(during['unreliable']).toBe(false);
    x.dispose();
    const after = tf.memory() as unknown as Record<string, number>;
    expect(after['numBytesAllocated']).toBe(before['numBytesAllocated']);
    expect(after['numBytesInPool']).toBeGreaterThanOrEqual(4 << 20);
  });

  it('has the collector free tensors that nobody disposed', async () => {
    const table = loadAddon();
    const { buffers, inUse } = table.memory();
    drop(1000);
    expect(table.memory().buffers).toBe(buffers + 1000);
    for (let i = 0; i < 10 && table.memory().buffers > buffers + 10; i++) {
      collect();
      await setTimeout(10); // finalizers run when the event loop turns
    }
    // Conservative by 10: a register may still hold one.
    expect(table.memory().buffers).toBeLessThanOrEqual(buffers + 10);
    expect(table.memory().inUse).toBeLessThanOrEqual(inUse + 10 * 4096);
  });

  it('answers an op that does not fit into memory with an error, and keeps nothing of it', () => {
    const huge = [2 ** 46];
    expectNoLeak(() => {
      // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- not an array method
      expect(() => tf.fill(huge, 1)).toThrow(
        `native: allocate: expected ${2 ** 48} bytes of memory, got none. Try: smaller batches, or dispose() of tensors sooner`,
      );
    });
  });

  it('takes over tensors of another backend, and gives them up', async () => {
    await tf.setBackend('cpu');
    const x = tf.tensor1d([1, 2, 3]);
    await useNative();
    const y = tf.square(x);
    expect([...y.dataSync()]).toEqual([1, 4, 9]);
    await tf.setBackend('cpu');
    const z = tf.add(y, x);
    expect([...z.dataSync()]).toEqual([2, 6, 12]);
    tf.dispose([x, y, z]);
  });

  it('sets the threads, and refuses what is no number of threads', () => {
    const { threads } = loadAddon();
    registerNative({ threads: 3 });
    expect(loadAddon().threads).toBe(3);
    registerNative({ threads });
    expect(() => registerNative({ threads: 0 })).toThrow(
      'registerNative: expected threads to be an integer 1..256, got 0',
    );
  });

  it('trains: gradients of tfjs kernels are there', () => {
    const gradient = tf.grad((x) => tf.sum(tf.square(x)));
    const [x, dx] = tf.tidy(() => {
      const input = tf.tensor1d([1, -2, 3]);
      return [input, gradient(input)] as const;
    });
    expect([...dx.dataSync()]).toEqual([2, -4, 6]);
    tf.dispose([x, dx]);
  });
});

function drop(count: number): void {
  for (let i = 0; i < count; i++) tf.tensor1d(new Float32Array(1024));
}
