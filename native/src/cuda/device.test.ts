// SPDX-License-Identifier: Apache-2.0
// A device as the addon hands it out: what it refuses, what it keeps, what it gives back.
import { beforeAll, describe, expect, it } from 'vitest';
import type { NativeBuffer } from '../binding.ts';
import { loadAddon } from '../loader.ts';
import { expectAnswers, expectChecks } from '../test-op-table.ts';
import type { Device } from './device.ts';
import { requireCuda } from './library.ts';
import { registerCuda } from './register.ts';
import { noDevice, skipNote } from './test-cuda.ts';

describe.skipIf(noDevice)(`a device${skipNote}`, () => {
  let device: Device;
  let before: number;
  beforeAll(() => {
    device = registerCuda();
    before = device.memory().inUse;
  });

  /** y = x + x of 8 floats. */
  const add = (x: NativeBuffer, y: NativeBuffer): void =>
    device.run(device.opId('Add'), [x, x, y], Float64Array.of(0, 1, 8, 8));

  it('keeps what is written on the host until an op uses it', async () => {
    const [x, y] = [device.allocate(32), device.allocate(32)];
    const values = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    device.write(x, values);
    values.fill(0);
    const copy = new Float32Array(8);
    device.read(x, copy);
    expect([...copy]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(device.memory().inUse).toBe(before);
    add(x, y);
    expect(device.memory().inUse).toBeGreaterThan(before);
    await device.fetch(y, copy);
    expect([...copy]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
    for (const buffer of [x, y]) device.free(buffer);
    expect(device.memory().inUse).toBe(before);
  });

  it('reads what was computed before the buffer is freed or overwritten', async () => {
    const [x, y] = [device.allocate(32), device.allocate(32)];
    device.write(x, new Float32Array(8).fill(1));
    add(x, y);
    const copy = new Float32Array(8);
    const pending = device.fetch(y, copy);
    device.write(x, new Float32Array(8).fill(5));
    add(x, y);
    device.free(y);
    await pending;
    expect(copy[7]).toBe(2);
    device.free(x);
  });

  it('times what runs on it, and names ranges', () => {
    device.timeBegin();
    device.rangePush('test');
    device.rangePop();
    expect(device.timeEnd()).toBeGreaterThanOrEqual(0);
  });

  it('replays a recorded graph on what its buffers hold then', () => {
    const [x, y] = [device.allocate(32), device.allocate(32)];
    device.write(x, new Float32Array(8).fill(1));
    add(x, y);
    device.captureBegin();
    add(x, y);
    const graph = device.captureEnd();
    device.write(x, new Float32Array(8).fill(7));
    const copy = new Float32Array(8);
    device.read(y, copy);
    expect(copy[0]).toBe(2);
    const z = device.allocate(32);
    add(x, z); // has the new values of x travel
    device.replay(graph);
    device.read(y, copy);
    expect(copy[0]).toBe(14);
    device.free(graph);
    device.free(graph);
    expect(() => device.replay(graph)).toThrow('replay: expected a graph, got something else');
    for (const buffer of [x, y, z]) device.free(buffer);
  });

  it('refuses arguments of the wrong kind by what it expected', () => {
    const loose = device as unknown as Record<string, (...values: unknown[]) => unknown>;
    const call =
      (name: string, ...values: unknown[]) =>
      () =>
        loose[name]?.(...values);
    const buffer = device.allocate(16);
    const freed = device.allocate(16);
    device.free(freed);
    const theirs = loadAddon().allocate(16);
    const numbers = new Float64Array(1);
    for (const [thunk, message] of [
      [call('allocate', -1), 'allocate: expected a number of bytes, got something else'],
      [call('free', theirs), 'free: expected a buffer, got something else'],
      [call('write', theirs, numbers), 'write: expected a buffer in use, got something else'],
      [call('read', freed, numbers), 'read: expected a buffer in use, got a freed one'],
      [call('fetch', buffer, numbers), 'read: expected a typed array of 16 bytes, got 8'],
      [call('run', 0, [freed], numbers), 'run: expected buffer 0 in use, got a freed one'],
      [call('run', 0, [theirs], numbers), 'run: expected a buffer as buffer 0, got something else'],
      [call('run', 99_999, [], numbers), /^run: expected the id of an op below \d+, got 99999$/],
      [call('replay', buffer), 'replay: expected a graph, got something else'],
      [call('rangePush', 3), 'rangePush: expected a name, got something else'],
    ] as const) {
      expect(thunk).toThrow(message);
    }
    device.free(buffer);
    loadAddon().free(theirs);
    expect(device.opId('NoSuchOp')).toBe(-1);
  });

  it('is opened by a path and a number, or not at all', () => {
    const { addon, library } = requireCuda();
    const loose = addon as unknown as Record<string, (...values: unknown[]) => unknown>;
    for (const [values, message] of [
      [[3, 0], 'openDevice: expected the path of a library, got something else'],
      [[library, -1], 'openDevice: expected the number of a device, got something else'],
      [[library, 7], /expected (a )?device/],
      [['/nowhere.so', 0], /^openDevice: expected a library that loads, got \/nowhere\.so: /],
      [['libc.so.6', 0], /^openDevice: expected interface \d+ of libc\.so\.6, got another$/],
    ] as const) {
      expect(() => loose['openDevice']?.(...values)).toThrow(message);
    }
  });

  it('answers whatever it is given with a value or an error', () => {
    expectAnswers(device, ['allocate', 'write', 'read', 'opId', 'run', 'memory', 'replay']);
  });

  it('runs no op on numbers that do not fit its buffers', () => {
    expectChecks(device);
    device.synchronize();
    expect(device.memory().inUse).toBe(before);
  });
});
