// SPDX-License-Identifier: Apache-2.0
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '@diffmavil/core';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { registerNative } from '../register.ts';
import type { CudaBackend } from './backend.ts';
import { registerCuda } from './register.ts';
import { filled, noDevice, skipNote, useCuda } from './test-cuda.ts';

describe.skipIf(noDevice)(`the backend diffmavil-cuda${skipNote}`, () => {
  let backend: CudaBackend;
  beforeEach(async () => {
    backend = await useCuda();
    resetDelegatedKernels();
  });
  afterEach(() => {
    delete process.env['DIFFMAVIL_STRICT'];
  });

  it.each([0, 1, 16, 17, 1000])('returns %i numbers as they were written', async (size) => {
    const numbers = Array.from({ length: size }, (_, i) => 3 * i - 7);
    const values = {
      float32: Float32Array.from(numbers, (x) => x / 3),
      int32: Int32Array.from(numbers),
      bool: Uint8Array.from(numbers, (x) => x & 1),
    };
    for (const [dtype, written] of Object.entries(values)) {
      const x = tf.tensor1d(written, dtype as 'float32');
      const y = tf.concat([x, x]);
      expect(x.dataSync()).toEqual(written);
      expect(await x.data()).toEqual(written);
      expect((await y.data()).slice(size)).toEqual(written);
      tf.dispose([x, y]);
    }
  });

  it('brings nothing to the device that no kernel uses, and counts its bytes', () => {
    const before = backend.memory();
    const x = tf.ones([1000]);
    expect(backend.memory().numBytesAllocated).toBe(before.numBytesAllocated);
    const y = tf.square(x);
    const memory = tf.memory() as unknown as ReturnType<CudaBackend['memory']>;
    expect(memory.numBytesAllocated).toBeGreaterThanOrEqual(before.numBytesAllocated + 8000);
    expect(memory.numBytesInGPU).toBe(
      memory.numBytesAllocated + memory.numBytesInPool + memory.numBytesWorkspace,
    );
    expect(memory.unreliable).toBe(false);
    tf.dispose([x, y]);
    expect(backend.memory().numBytesAllocated).toBe(before.numBytesAllocated);
  });

  it('brings tensors to the device before a kernel uses them, when it is asked to', () => {
    const x = filled(1000, 2);
    const { numBytesAllocated } = backend.memory();
    backend.prefetch([x]);
    backend.prefetch([x]);
    expect(backend.memory().numBytesAllocated).toBeGreaterThanOrEqual(numBytesAllocated + 4000);
    expect(tf.tidy(() => tf.square(x).dataSync())[999]).toBe(4);
    x.dispose();
  });

  it('does not hold up the thread in data(), and keeps the order of what was asked for', async () => {
    const x = filled(100, 2);
    const y = tf.square(x);
    const first = y.data();
    const z = tf.square(y);
    const second = z.data();
    tf.dispose([x, y, z]);
    expect((await first)[99]).toBe(4);
    expect((await second)[99]).toBe(16);
  });

  it('joins complex numbers that it reads', async () => {
    const x = tf.complex(new Float32Array(20).fill(1), new Float32Array(20).fill(-2));
    expect((await x.data()).slice(0, 4)).toEqual(Float32Array.of(1, -2, 1, -2));
    x.dispose();
  });

  it('measures kernels by the device', async () => {
    const x = tf.ones([1000]);
    const { kernelMs } = await tf.time(() => tf.square(x).dispose());
    expect(kernelMs).toBeGreaterThanOrEqual(0);
    await expect(
      tf.time(() => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    x.dispose();
  });

  it('hands a kernel that the device lacks to the processor, and counts it once', () => {
    const value = tf.tidy(() =>
      tf.conv1d(tf.ones<tf.Rank.R3>([1, 8, 1]), tf.ones<tf.Rank.R3>([3, 1, 1]), 1, 'valid'),
    );
    expect([...value.dataSync()]).toEqual([3, 3, 3, 3, 3, 3]);
    expect(delegatedKernels()).toEqual({ Conv2D: 1 });
    value.dispose();
    resetDelegatedKernels();
    const [names] = tf.tidy(() => [tf.unique(tf.tensor1d(['a', 'b', 'a'])).indices.dataSync()]);
    expect([...names]).toEqual([0, 1, 0]);
    expect(delegatedKernels()).toEqual({ Unique: 1 });
  });

  it('refuses to hand kernels on under DIFFMAVIL_STRICT=1', () => {
    process.env['DIFFMAVIL_STRICT'] = '1';
    const x = tf.ones([1, 4, 4, 1]) as tf.Tensor4D;
    expect(() => tf.maxPool(x, 2, 2, 'valid')).toThrow(
      'native: expected a native kernel for MaxPool (x: float32 [1, 4, 4, 1]) under DIFFMAVIL_STRICT=1, got none',
    );
    x.dispose();
  });

  it('checks small lists of indices, which have not left the host', () => {
    tf.tidy(() => {
      expect(() => tf.gather(tf.ones([3, 2]), [1, 3])).toThrow(
        'GatherV2: the index value 3 is not in [0, 2]',
      );
    });
  });

  it('stands beside the backend of the processor', async () => {
    registerNative();
    const x = filled(20, 3);
    await tf.setBackend('diffmavil-cpu');
    const y = tf.square(x); // brings x over
    expect(y.dataSync()[19]).toBe(9);
    await tf.setBackend('diffmavil-cuda');
    const z = tf.add(x, y);
    expect((await z.data())[19]).toBe(12);
    tf.dispose([x, y, z]);
  });

  it('is registered for one device of a thread', () => {
    expect(registerCuda({ device: 0 })).toBe(backend.device);
    expect(() => registerCuda({ device: 1 })).toThrow(
      'registerCuda: expected device 0, which this thread has open, got 1. Try: a worker thread for each device',
    );
    expect(() => registerCuda({ device: -1 })).toThrow(ConfigError);
    expect(() => registerCuda({ device: 0.5 })).toThrow(
      'registerCuda: expected the number of a device, an integer from 0, got 0.5',
    );
  });
});
