// SPDX-License-Identifier: Apache-2.0
// A device of 64 MiB whose memory runs out.
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { CudaBackend } from './backend.ts';
import { filled, noDevice, useCuda } from './test-cuda.ts';

// Before the device is looked for, which importing test-cuda.ts does.
vi.hoisted(() => {
  process.env['DIFFMAVIL_EMULATOR_MEMORY'] = String(64 << 20);
});

const mebibyte = 1 << 20;
/** Floats of 4 MiB. */
const floats = mebibyte;

const real = !(process.env['DIFFMAVIL_CUDA_PATH'] ?? '').includes('emulated');
const missing = noDevice ? 'the emulated device is not built' : real ? 'not on a GPU' : null;
const note = missing === null ? '' : ` (skipped: ${missing})`;

describe.skipIf(missing !== null)(`a device without memory left${note}`, () => {
  let backend: CudaBackend;
  beforeAll(async () => {
    backend = await useCuda();
  });

  it('takes back what was dropped without dispose, in the middle of synchronous work', () => {
    // 40 results of 4 MiB that nobody holds: more than there is, and the event loop never turns.
    const x = filled(floats, 2);
    for (let i = 0; i < 40; i++) forgotten(x);
    const y = tf.square(x);
    expect(y.dataSync()[floats - 1]).toBe(4);
    tf.dispose([x, y]);
  });

  it('says how much was wanted and what to do, and goes on once something is disposed', async () => {
    const held: tf.Tensor[] = [filled(floats, 3)];
    let problem = '';
    while (problem === '' && held.length < 40) {
      try {
        held.push(tf.square(held[0]!));
      } catch (error) {
        problem = (error as Error).message;
      }
    }
    expect(problem).toMatch(
      /^native: \S+: expected 4194304 bytes of device memory, got none: \d+ in use, \d+ cached, 67108864 in total\. Try: smaller batches, or dispose\(\) of tensors sooner$/,
    );
    expect(held.length).toBeGreaterThan(8);
    held.pop()!.dispose();
    const y = tf.square(held[0]!);
    expect((await y.data())[0]).toBe(9);
    tf.dispose([...held, y]);
    expect(backend.memory().numBytesAllocated).toBeLessThan(mebibyte);
  });

  it('cuts one large block of what was kept of small ones, and gives all of it back on trim', () => {
    const small = Array.from({ length: 60 }, () => filled(floats / 10, 1));
    tf.dispose(small.map((x) => tf.square(x)));
    tf.dispose(small);
    const x = filled(6 * floats, 1);
    const y = tf.square(x);
    expect(y.dataSync()[6 * floats - 1]).toBe(1);
    tf.dispose([x, y]);
    backend.device.trim();
    expect(backend.memory().numBytesInPool).toBe(0);
  });
});

function forgotten(x: tf.Tensor): void {
  tf.square(x);
}
