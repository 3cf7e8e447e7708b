// SPDX-License-Identifier: Apache-2.0
// The addon's function table (native/addon/addon.cc), typed, and the thin layer that packs an op's numbers.
import { DeviceError } from '@diffmavil/core';
import type { DataType } from '@tensorflow/tfjs-core';

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

/** What `diffmavil.node` exports. Every function throws an Error with a `code` of `DM_…` and one sentence. */
export interface Addon {
  readonly abi: number;
  readonly version: string;
  readonly isa: 'baseline' | 'avx2' | 'avx512' | 'avx512bf16';
  readonly threads: number;
  setThreads(count: number): void;
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

/** Dtypes that live in native buffers, by the number that ops know them by (native/include/dm/op.h). */
const dtypeCodes: Partial<Record<DataType, number>> = { float32: 0, int32: 1, bool: 2 };

/** The number of a dtype in an op's arguments, or undefined for dtypes that stay with JavaScript. */
export function dtypeCode(dtype: DataType): number | undefined {
  return dtypeCodes[dtype];
}

/** An addon, with ops by name. */
export class Binding {
  readonly addon: Addon;
  readonly #ids = new Map<string, number>();
  // One block for the numbers of all calls: a typed array of its own would cost more than the call.
  #numbers = new Float64Array(64);

  constructor(addon: Addon) {
    this.addon = addon;
  }

  /**
   * Runs an op: `buffers` are inputs, then outputs; `numbers` as the op's comment in native/cpu states.
   *
   * @throws DeviceError when the addon has no such op, or the op refuses its arguments.
   */
  run(op: string, buffers: readonly NativeBuffer[], numbers: readonly number[]): void {
    if (numbers.length > this.#numbers.length) {
      this.#numbers = new Float64Array(2 * numbers.length);
    }
    this.#numbers.set(numbers);
    const id = this.#id(op);
    try {
      this.addon.run(id, buffers, this.#numbers, numbers.length);
    } catch (error) {
      throw withAdvice(error);
    }
  }

  /**
   * A new buffer, its contents undefined.
   *
   * @throws DeviceError when the system has no memory left, even without the blocks kept for reuse.
   */
  allocate(bytes: number): NativeBuffer {
    try {
      return this.addon.allocate(bytes);
    } catch (error) {
      throw withAdvice(error);
    }
  }

  #id(op: string): number {
    const known = this.#ids.get(op);
    if (known !== undefined) return known;
    const id = this.addon.opId(op);
    if (id < 0) {
      throw new DeviceError(
        `native: expected an addon with the op ${op}, got ${this.addon.version} without it. Try: npm run build:native`,
      );
    }
    this.#ids.set(op, id);
    return id;
  }
}

/** Too little memory is a fault the user can do something about; any other is one of ours. */
function withAdvice(error: unknown): unknown {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  if (code !== 'DM_OUT_OF_MEMORY') return error;
  return new DeviceError(
    `native: ${message}. Try: smaller batches, or dispose() of tensors sooner`,
    {
      cause: error,
    },
  );
}
