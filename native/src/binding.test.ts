// SPDX-License-Identifier: Apache-2.0
import { array, assert, constantFrom, double, integer, oneof, property, string } from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Binding } from './binding.ts';
import type { Addon, NativeBuffer } from './binding.ts';
import { loadAddon } from './loader.ts';
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
    const buffers = [8, 64, 4096].map((bytes) => addon.allocate(bytes));
    const freed = addon.allocate(64);
    addon.free(freed);
    const value = oneof(
      constantFrom<unknown>(...buffers, freed, null, undefined, buffers, new Float64Array(3)),
      constantFrom<unknown>(new Uint8Array(64), new DataView(new ArrayBuffer(8)), Symbol('x')),
      double(),
      integer({ min: -2, max: 40 }),
      string(),
      array(constantFrom<unknown>(...buffers, freed, 1), { maxLength: 4 }),
    );
    const name = constantFrom('allocate', 'write', 'read', 'setThreads', 'opId', 'run', 'memory');
    const { threads } = addon;
    assert(
      property(name, array(value, { maxLength: 5 }), (method, values) => {
        const loose = addon as unknown as Record<string, (...values: unknown[]) => unknown>;
        expect(outcomeOf(() => loose[method]?.(...values))).toMatch(/^DM_/);
      }),
      { numRuns: 2000, seed: 20_231 },
    );
    addon.setThreads(threads);
    for (const buffer of buffers) addon.free(buffer);
  });

  it('runs no op on numbers that do not fit its buffers', () => {
    const buffers = [0, 4, 64, 64, 4096].map((bytes) => addon.allocate(bytes));
    for (const buffer of buffers.slice(2))
      addon.write(buffer, new Uint8Array(sizeOf(buffers, buffer)));
    const numbers = array(
      oneof(integer({ min: -1, max: 20 }), double(), constantFrom(2 ** 31, 2 ** 53)),
      { maxLength: 16 },
    );
    const chosen = array(constantFrom(...buffers), { maxLength: 4 });
    assert(
      property(integer({ min: 0, max: 300 }), chosen, numbers, (id, list, values) => {
        expect(outcomeOf(() => addon.run(id, list, Float64Array.from(values)))).toMatch(/^DM_/);
      }),
      { numRuns: 5000, seed: 20_232 },
    );
    for (const buffer of buffers) addon.free(buffer);
  });
});

function sizeOf(buffers: readonly NativeBuffer[], buffer: NativeBuffer): number {
  return buffers.indexOf(buffer) === 4 ? 4096 : 64;
}

/** The code of the error, or DM_OK. */
function outcomeOf(thunk: () => unknown): string {
  try {
    thunk();
    return 'DM_OK';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
