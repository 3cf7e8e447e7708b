// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it } from 'vitest';
import { Binding } from './binding.ts';
import type { Addon } from './binding.ts';
import { loadAddon } from './loader.ts';
import { expectAnswers, expectChecks } from './test-op-table.ts';
import { noAddon, skipNote } from './test-native.ts';

describe.skipIf(noAddon)(`the addon${skipNote}`, () => {
  let addon: Addon;
  let before: number;

  beforeEach(() => {
    addon = loadAddon();
    before = addon.memory().inUse;
  });

  it('says what it is', () => {
    expect(addon.abi).toBe(2);
    expect(['baseline', 'avx2', 'avx512', 'avx512bf16']).toContain(addon.isa);
    expect(addon.threads).toBeGreaterThanOrEqual(1);
  });

  it('writes and reads the bytes of every kind of typed array', () => {
    const bytes = Uint8Array.from({ length: 48 }, (_, i) => 5 * i);
    for (const Kind of [
      Int8Array,
      Uint8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
      BigInt64Array,
      BigUint64Array,
    ]) {
      const buffer = addon.allocate(48);
      addon.write(buffer, new Kind(bytes.slice().buffer));
      const read = new Uint8Array(48);
      addon.read(buffer, read);
      expect(read).toEqual(bytes);
      addon.free(buffer);
    }
    expect(addon.memory().inUse).toBe(before);
  });

  it('takes a view into the middle of an ArrayBuffer, a shared one too', () => {
    const buffer = addon.allocate(8);
    addon.write(buffer, new Float32Array(new SharedArrayBuffer(8)).fill(3));
    const block = new Float32Array(6);
    addon.read(buffer, block.subarray(2, 4));
    expect([...block]).toEqual([0, 0, 3, 3, 0, 0]);
    addon.free(buffer);
  });

  it('frees a buffer once, however often it is asked to', () => {
    const buffer = addon.allocate(1000);
    addon.free(buffer);
    const { inUse } = addon.memory();
    addon.free(buffer);
    expect(addon.memory().inUse).toBe(inUse);
    expect(inUse).toBe(before);
    const message = 'read: expected a buffer in use, got a freed one';
    expect(() => addon.read(buffer, new Uint8Array(1000))).toThrow(message);
  });

  it('counts bytes in use, pooled and at the peak, and trims', () => {
    const buffer = addon.allocate(1 << 20);
    expect(addon.memory().inUse).toBe(before + (1 << 20));
    expect(addon.memory().peak).toBeGreaterThanOrEqual(before + (1 << 20));
    addon.free(buffer);
    expect(addon.memory().pooled).toBeGreaterThanOrEqual(1 << 20);
    addon.trim();
    expect(addon.memory().pooled).toBe(0);
  });

  it('answers a size that no machine has with an error', () => {
    expect(() => addon.allocate(2 ** 48)).toThrow(
      expect.objectContaining({
        code: 'DM_OUT_OF_MEMORY',
        message: `allocate: expected ${2 ** 48} bytes of memory, got none`,
      }),
    );
    expect(() => new Binding(addon).allocate(2 ** 48)).toThrow(
      `native: allocate: expected ${2 ** 48} bytes of memory, got none. Try: smaller batches, or dispose() of tensors sooner`,
    );
    expect(addon.memory().inUse).toBe(before);
  });

  it('refuses arguments of the wrong kind by what it expected', () => {
    const loose = addon as unknown as Record<string, (...values: unknown[]) => unknown>;
    const call =
      (name: string, ...values: unknown[]) =>
      () =>
        loose[name]?.(...values);
    const buffer = addon.allocate(16);
    const numbers = new Float64Array(1);
    for (const [thunk, message] of [
      [call('allocate'), 'allocate: expected a number of bytes, got something else'],
      [call('allocate', -1), 'allocate: expected a number of bytes, got something else'],
      [call('allocate', Number.NaN), 'allocate: expected a number of bytes, got something else'],
      [call('free', {}), 'free: expected a buffer, got something else'],
      [call('write', 1, numbers), 'write: expected a buffer in use, got something else'],
      [call('write', buffer, [1]), 'write: expected a typed array, got something else'],
      [call('read', buffer, numbers), 'read: expected a typed array of 16 bytes, got 8'],
      [call('opId', 7), 'opId: expected the name of an op, got something else'],
      [
        call('setThreads', 0),
        'setThreads: expected a number of threads 1..256, got something else',
      ],
      [call('run', 'Add'), 'run: expected the id of an op, got something else'],
      [call('run', 0, buffer), 'run: expected an array of buffers, got something else'],
      [call('run', 0, [], [1]), 'run: expected a Float64Array of numbers, got something else'],
      [
        call('run', 0, [], numbers, 2),
        'run: expected a count of at most numbers.length, got something else',
      ],
      [call('run', 0, [1], numbers), 'run: expected a buffer as buffer 0, got something else'],
      [call('run', 99_999, [], numbers), /^run: expected the id of an op below \d+, got 99999$/],
    ] as const) {
      expect(thunk).toThrow(message);
    }
    addon.free(buffer);
    expect(addon.opId('NoSuchOp')).toBe(-1);
    expect(addon.opId('x'.repeat(1000))).toBe(-1);
  });

  it('answers whatever it is given with a value or an error', () => {
    const { threads } = addon;
    expectAnswers(addon, ['allocate', 'write', 'read', 'setThreads', 'opId', 'run', 'memory']);
    addon.setThreads(threads);
  });

  it('runs no op on numbers that do not fit its buffers', () => {
    expectChecks(addon);
    // Not of what the test before this one dropped.
    expect(addon.memory().inUse).toBeLessThanOrEqual(before);
  });
});
