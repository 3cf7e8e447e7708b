// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectClose } from './close.ts';
import { devices } from './devices.ts';
import { finiteDifference } from './finite-difference.ts';
import { readFixture, readJsonFixture } from './fixture.ts';
import { expectNoLeak } from './leak.ts';

describe.each(devices)('on $name', (device) => {
  beforeAll(device.use);

  it('is the active backend, with the leak check of kernels on', () => {
    expect([tf.getBackend(), tf.env().getBool('IS_TEST')]).toEqual([device.name, true]);
  });

  it('gives gradients by finite differences to 1e-5', () => {
    expectNoLeak(() => {
      const x = tf.tensor2d([0.5, -1, 2], [1, 3]);
      const rows = tf.tensor1d([0], 'int32');
      const [dx, dRows] = finiteDifference((x, rows) => tf.exp(tf.gather(x, rows)), [x, rows], {
        dy: [1, 2, -1],
      });
      // dy * e^x
      expectClose(dx!, [Math.exp(0.5), 2 * Math.exp(-1), -Math.exp(2)], { maxRel: 1e-5 });
      expect([...dRows!]).toEqual([0]);
      tf.dispose([x, rows]);
    });
  });
});

describe('expectNoLeak', () => {
  beforeAll(devices[0]!.use);

  it('returns what the function returns, also by promise', async () => {
    expect(expectNoLeak(() => tf.tidy(() => tf.scalar(3).dataSync()[0]))).toBe(3);
    const waited = await expectNoLeak(async () => {
      const x = tf.scalar(4);
      const [value] = await x.data();
      x.dispose();
      return value;
    });
    expect(waited).toBe(4);
  });

  it('refuses tensors left over', async () => {
    const { numTensors, numDataBuffers } = tf.memory();
    const message =
      `expectNoLeak: expected ${numTensors} tensors and ${numDataBuffers} buffers, ` +
      `got ${numTensors + 1} and ${numDataBuffers + 1}`;
    let left: tf.Tensor | undefined;
    expect(() => expectNoLeak(() => void (left = tf.scalar(1)))).toThrow(message);
    left?.dispose();
    await expect(expectNoLeak(async () => void (left = tf.scalar(1)))).rejects.toThrow(message);
    left?.dispose();
  });
});

describe('readFixture', () => {
  const folder = mkdtempSync(join(tmpdir(), 'testkit-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeAll(devices[0]!.use);

  /** A safetensors file by hand: length of the header, header, data. */
  function write(name: string, header: object, data: ArrayBufferView): string {
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const path = join(folder, name);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    writeFileSync(path, Buffer.concat([length, json, bytes]));
    return path;
  }

  it('reads names, shapes, values and metadata', () => {
    const data = Buffer.concat([
      Buffer.from(new Float32Array([1.5, -2]).buffer),
      Buffer.from(new BigInt64Array([-3n]).buffer),
      Buffer.from([1, 0]),
    ]);
    const header = {
      __metadata__: { torch: '2.13.0' },
      weight: { dtype: 'F32', shape: [2, 1], data_offsets: [0, 8] },
      step: { dtype: 'I64', shape: [], data_offsets: [8, 16] },
      mask: { dtype: 'BOOL', shape: [2], data_offsets: [16, 18] },
    };
    const fixture = readFixture(write('good.safetensors', header, data));
    expect(fixture.names).toEqual(['weight', 'step', 'mask']);
    expect(fixture.metadata).toEqual({ torch: '2.13.0' });
    expect(fixture.get('weight')).toEqual({
      dtype: 'F32',
      shape: [2, 1],
      data: new Float32Array([1.5, -2]),
    });
    const tensors = fixture.names.map((name) => fixture.tensor(name));
    expect(tensors.map((tensor) => [tensor.dtype, tensor.arraySync()])).toEqual([
      ['float32', [[1.5], [-2]]],
      ['int32', -3],
      ['bool', [1, 0]],
    ]);
    tf.dispose(tensors);
    expect(() => fixture.get('bias')).toThrow(
      /^readFixture: expected bias in .*, got weight, step, mask$/,
    );
  });

  it('refuses a dtype it does not know', () => {
    const header = { x: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } };
    const path = write('odd.safetensors', header, new Uint8Array(1));
    expect(() => readFixture(path).get('x')).toThrow(
      `readFixture: expected F32, F64, I32, I64, U8 or BOOL in ${path}, got F8_E4M3`,
    );
  });

  it('reads JSON, and relative paths from the folder of golden fixtures', () => {
    expect(readJsonFixture('core_random/random.json')).toHaveProperty('numpy');
  });
});
