// SPDX-License-Identifier: Apache-2.0
// A GPU as the addon hands it out (native/addon/device-methods.cc), and the words by which the backend uses it.
import { Binding, isOutOfMemory, withAdvice } from '../binding.ts';
import type { NativeBuffer, NativeMemory, OpTable } from '../binding.ts';
import { collectGarbage } from './collect-garbage.ts';

/** Bytes of device memory, of this thread's context. */
export interface DeviceMemory extends NativeMemory {
  /** Scratch of ops, and of the library of matrix products. */
  readonly workspace: number;
  /** Pinned memory of the host, for what travels. */
  readonly staging: number;
}

/** A graph of ops, recorded once: a buffer of no bytes, to be freed as one. */
export type DeviceGraph = NativeBuffer & { readonly [deviceGraph]: never };
declare const deviceGraph: unique symbol;

/** An open device. What is written to a buffer travels when an op first uses it; memory on the device is made then too. */
export interface Device extends OpTable {
  readonly name: string;
  /** Compute capability. */
  readonly major: number;
  readonly minor: number;
  readonly multiprocessors: number;
  /** Version of CUDA that the driver supports, as it counts: 13000 is 13.0. */
  readonly driver: number;
  readonly totalBytes: number;
  memory(): DeviceMemory;
  /** `read` that does not wait; undefined when the values are there already. */
  fetch(buffer: NativeBuffer, values: ArrayBufferView): Promise<void> | undefined;
  /** Has what was written to a buffer travel now, beside what runs, not when an op uses it. */
  prefetch(buffer: NativeBuffer): void;
  /** Frees what JavaScript has dropped and the collector has found, at once. */
  sweep(): void;
  /** Waits for everything that was started. */
  synchronize(): void;
  timeBegin(): void;
  /** Milliseconds on the device since `timeBegin`; waits. */
  timeEnd(): number;
  /** Names what follows for profilers (NVTX). */
  rangePush(name: string): void;
  rangePop(): void;
  /** What follows is recorded, not run, until `captureEnd`. */
  captureBegin(): void;
  captureEnd(): DeviceGraph;
  replay(graph: DeviceGraph): void;
}

/** The buffers that a recorded graph works on. */
export interface Recording {
  /** Made while it was recorded: memory of the graph's own. */
  readonly made: Set<NativeBuffer>;
  /** Made before: they have to be there, in the same place, when the graph is replayed. */
  readonly outside: Set<NativeBuffer>;
}

/**
 * The binding of a device: when its memory has run out, dropped tensors are collected and the call is tried once more. While a graph is
 * recorded it notes what the graph works on.
 */
export class DeviceBinding extends Binding<Device> {
  recording: Recording | null = null;
  readonly #freed = new WeakSet<NativeBuffer>();

  /** Whether a buffer's memory was given back. */
  isFreed(buffer: NativeBuffer): boolean {
    return this.#freed.has(buffer);
  }

  override run(op: string, buffers: readonly NativeBuffer[], numbers: readonly number[]): void {
    if (this.recording !== null) {
      const { made, outside } = this.recording;
      for (const buffer of buffers) if (!made.has(buffer)) outside.add(buffer);
    }
    super.run(op, buffers, numbers);
  }

  override allocate(bytes: number): NativeBuffer {
    const buffer = super.allocate(bytes);
    this.recording?.made.add(buffer);
    return buffer;
  }

  override free(buffer: NativeBuffer): void {
    this.#freed.add(buffer);
    super.free(buffer);
  }

  prefetch(buffer: NativeBuffer): void {
    this.attempt(() => this.table.prefetch(buffer));
  }

  override async fetch(buffer: NativeBuffer, values: ArrayBufferView): Promise<void> {
    try {
      await this.table.fetch(buffer, values);
    } catch (error) {
      throw withAdvice(error);
    }
  }

  protected override attempt<T>(f: () => T): T {
    try {
      return f();
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      collectGarbage();
      this.table.sweep();
      return super.attempt(f);
    }
  }
}
