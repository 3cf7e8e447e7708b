// SPDX-License-Identifier: Apache-2.0
// The addon's function table (native/addon/addon.cc), typed, and the thin layer that packs an op's numbers.
import { DeviceError } from '@diffmavil/core';
import type { DataType } from '@tensorflow/tfjs-core';
import type { Device } from './cuda/device.ts';

declare const nativeBuffer: unique symbol;

/** 64-byte aligned memory outside V8; an External that frees it when collected. */
export type NativeBuffer = { readonly [nativeBuffer]: never };

/** Bytes; process-wide, shared by the threads of a program, except `buffers`. */
export interface NativeMemory {
  /** Of live buffers, rounded to their size classes. */
  readonly inUse: number;
  /** Kept for reuse. */
  readonly pooled: number;
  /** The most that was in use at once. */
  readonly peak: number;
  /** How many buffers of this thread are not collected yet. */
  readonly buffers: number;
}

/** Memory and ops of the processor, or of a device. Every function throws an Error with a `code` of `DM_…` and one sentence. */
export interface OpTable {
  /** Contents undefined. */
  allocate(bytes: number): NativeBuffer;
  /** At once, not at collection; a second time does nothing. */
  free(buffer: NativeBuffer): void;
  /** The array has exactly the bytes of the buffer. */
  write(buffer: NativeBuffer, values: ArrayBufferView): void;
  read(buffer: NativeBuffer, values: ArrayBufferView): void;
  memory(): NativeMemory;
  /** Gives unused blocks back to the system. */
  trim(): void;
  /** -1 for a name without an op. */
  opId(name: string): number;
  /** Inputs, then outputs; the first `count` of the numbers. */
  run(opId: number, buffers: readonly NativeBuffer[], numbers: Float64Array, count?: number): void;
}

/** What `diffmavil.node` exports: the processor, and the way to devices. */
export interface Addon extends OpTable {
  readonly abi: number;
  readonly version: string;
  readonly isa: 'baseline' | 'avx2' | 'avx512' | 'avx512bf16';
  readonly threads: number;
  setThreads(count: number): void;
  /** How many devices a device library (a path) finds, and why none. */
  countDevices(library: string): { readonly count: number; readonly problem: string | null };
  /** A device of a device library, for this thread; it stays open until the thread ends. */
  openDevice(library: string, device: number): Device;
}

/** Dtypes that live in native buffers, by the number that ops know them by (native/include/dm/op.h). */
const dtypeCodes: Partial<Record<DataType, number>> = { float32: 0, int32: 1, bool: 2 };

/** The number of a dtype in an op's arguments, or undefined for dtypes that stay with JavaScript. */
export function dtypeCode(dtype: DataType): number | undefined {
  return dtypeCodes[dtype];
}

/** Memory and ops, with ops by name and errors that say what to do. */
export class Binding<Table extends OpTable = OpTable> {
  readonly table: Table;
  readonly #ids = new Map<string, number>();
  // One block for the numbers of all calls: a typed array of its own would cost more than the call.
  #numbers = new Float64Array(64);

  constructor(table: Table) {
    this.table = table;
  }

  /**
   * Runs an op: `buffers` are inputs, then outputs; `numbers` as the op's comment in native/cpu states.
   *
   * @throws DeviceError when there is no such op, or the op refuses its arguments.
   */
  run(op: string, buffers: readonly NativeBuffer[], numbers: readonly number[]): void {
    if (numbers.length > this.#numbers.length) {
      this.#numbers = new Float64Array(2 * numbers.length);
    }
    this.#numbers.set(numbers);
    const id = this.#id(op);
    this.attempt(() => this.table.run(id, buffers, this.#numbers, numbers.length));
  }

  /**
   * A new buffer, its contents undefined.
   *
   * @throws DeviceError when there is no memory left, even without the blocks kept for reuse.
   */
  allocate(bytes: number): NativeBuffer {
    return this.attempt(() => this.table.allocate(bytes));
  }

  /** Gives a buffer's memory back at once; a second time does nothing. */
  free(buffer: NativeBuffer): void {
    this.table.free(buffer);
  }

  write(buffer: NativeBuffer, values: ArrayBufferView): void {
    this.attempt(() => this.table.write(buffer, values));
  }

  /** Copies a buffer's values into an array of the same bytes, and waits for what computes them. */
  read(buffer: NativeBuffer, values: ArrayBufferView): void {
    this.attempt(() => this.table.read(buffer, values));
  }

  /** `read`, without holding up the thread where the memory is a device's. */
  async fetch(buffer: NativeBuffer, values: ArrayBufferView): Promise<void> {
    this.read(buffer, values);
  }

  /** Runs `f`; what it throws says what to do. */
  protected attempt<T>(f: () => T): T {
    try {
      return f();
    } catch (error) {
      throw withAdvice(error);
    }
  }

  #id(op: string): number {
    const known = this.#ids.get(op);
    if (known !== undefined) return known;
    const id = this.table.opId(op);
    if (id < 0) {
      throw new DeviceError(
        `native: expected the op ${op}, got a build without it. Try: npm run build:native`,
      );
    }
    this.#ids.set(op, id);
    return id;
  }
}

/** Whether an error says that memory has run out. */
export function isOutOfMemory(error: unknown): boolean {
  return (error as { readonly code?: string }).code === 'DM_OUT_OF_MEMORY';
}

/** Too little memory is a fault the user can do something about; any other is one of ours. */
export function withAdvice(error: unknown): unknown {
  if (!isOutOfMemory(error)) return error;
  // What a device library advises is for programs without a collector.
  const [problem] = (error as Error).message.split('. Try: ');
  return new DeviceError(
    `native: ${problem}. Try: smaller batches, or dispose() of tensors sooner`,
    { cause: error },
  );
}
