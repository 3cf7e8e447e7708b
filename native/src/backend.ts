// SPDX-License-Identifier: Apache-2.0
// The tfjs backends `diffmavil-cpu` and `diffmavil-cuda`: where tensors live. Values of up to 16 elements stay in JavaScript until a native
// kernel asks for them; all other values of float32, int32 and bool are copied into native buffers at once, so the caller may reuse its
// array. Strings stay in JavaScript; a complex64 tensor is two float32 tensors that belong to it.
import * as tf from '@tensorflow/tfjs-core';
import type { BackendValues, DataId, TensorInfo } from '@tensorflow/tfjs-core';
import { type Binding, dtypeCode } from './binding.ts';
import type { NativeBuffer } from './binding.ts';
import type { Delegate } from './delegate.ts';

/** Values of at most this many elements are kept in JavaScript. */
const fewElements = 16;

export type NumericValues = Float32Array | Int32Array | Uint8Array;

/** One tensor's data. Dropping it without disposal is fine: the buffer goes with it at the next collection. */
interface Entry {
  readonly dtype: tf.DataType;
  /** Elements. */
  readonly size: number;
  refCount: number;
  /** Strings; or the values of a small tensor, equal to the buffer's when there is one. */
  values: BackendValues | null;
  buffer: NativeBuffer | null;
  readonly parts: { readonly real: TensorInfo; readonly imag: TensorInfo } | null;
}

/** What `tf.memory()` says on this backend, besides what tfjs counts itself. Bytes; process-wide. */
export interface BackendMemory {
  unreliable: boolean;
  reasons: string[];
  /** Native bytes of live tensors. */
  numBytesAllocated: number;
  /** Native bytes kept for reuse. */
  numBytesInPool: number;
  /** The most native bytes that were in use at once. */
  numBytesPeak: number;
}

/** An output to be made. */
export interface OutputSpec {
  readonly shape: readonly number[];
  readonly dtype: tf.DataType;
}

export class NativeBackend extends tf.KernelBackend {
  /** As tfjs knows it. */
  readonly name: string;
  readonly binding: Binding;
  /** Where kernels run that this backend has not. */
  readonly delegate: Delegate;
  readonly #data: tf.DataStorage<Entry>;

  constructor(name: string, binding: Binding, delegate: Delegate) {
    super();
    this.name = name;
    this.binding = binding;
    this.delegate = delegate;
    this.#data = new tf.DataStorage<Entry>(this, tf.engine());
  }

  /** `executeAll` for an op of one output. */
  execute(
    op: string,
    inputs: readonly TensorInfo[],
    output: OutputSpec,
    numbers: readonly number[],
  ): TensorInfo {
    const [result] = this.executeAll(op, inputs, [output], numbers);
    return result as TensorInfo;
  }

  /**
   * Runs a native op: allocates the outputs, passes inputs then outputs, and frees the outputs when the op fails.
   *
   * @param inputs tensors of float32, int32 or bool.
   * @param numbers as the op's comment in native/cpu states.
   */
  executeAll(
    op: string,
    inputs: readonly TensorInfo[],
    outputs: readonly OutputSpec[],
    numbers: readonly number[],
  ): TensorInfo[] {
    const made: TensorInfo[] = [];
    try {
      const buffers = inputs.map((input) => this.buffer(input));
      for (const { shape, dtype } of outputs) {
        const output = this.allocate(shape, dtype);
        made.push(output);
        buffers.push(this.buffer(output));
      }
      this.binding.run(op, buffers, numbers);
      return made;
    } catch (error) {
      for (const output of made) this.disposeData(output.dataId);
      throw error;
    }
  }

  /** A new tensor of undefined contents, of float32, int32 or bool. */
  allocate(shape: readonly number[], dtype: tf.DataType): TensorInfo {
    const size = tf.util.sizeFromShape([...shape]);
    const buffer = this.binding.allocate(size * bytesPerElement(dtype));
    return this.#add({ dtype, size, refCount: 1, values: null, buffer, parts: null }, shape);
  }

  /** A new tensor with a copy of these values. */
  upload(values: BackendValues, shape: readonly number[], dtype: tf.DataType): TensorInfo {
    return { dataId: this.write(values, [...shape], dtype), shape: [...shape], dtype };
  }

  /** The same data under another shape. */
  alias(x: TensorInfo, shape: readonly number[] = x.shape): TensorInfo {
    this.incRef(x.dataId);
    return { dataId: x.dataId, shape: [...shape], dtype: x.dtype };
  }

  /** A copy with data of its own. */
  copy(x: TensorInfo): TensorInfo {
    const { values, size } = this.#entry(x.dataId);
    if (values !== null) return this.upload(values, x.shape, x.dtype);
    const bytes = size * bytesPerElement(x.dtype);
    return this.execute('Copy', [x], { shape: x.shape, dtype: x.dtype }, [bytes]);
  }

  /** A complex64 tensor that owns its parts. */
  makeComplex(real: TensorInfo, imag: TensorInfo): TensorInfo {
    const size = tf.util.sizeFromShape(real.shape);
    const parts = { real, imag };
    return this.#add(
      { dtype: 'complex64', size, refCount: 1, values: null, buffer: null, parts },
      real.shape,
    );
  }

  /** The parts of a complex64 tensor, which stay its own. */
  parts(x: TensorInfo): { readonly real: TensorInfo; readonly imag: TensorInfo } {
    const { parts } = this.#entry(x.dataId);
    if (parts === null) throw new Error(`native: expected a complex64 tensor, got ${x.dtype}`);
    return parts;
  }

  /** The native buffer of a tensor; uploads values that are still in JavaScript. */
  buffer(x: TensorInfo): NativeBuffer {
    const entry = this.#entry(x.dataId);
    if (entry.buffer === null) {
      if (dtypeCode(entry.dtype) === undefined || entry.values === null) {
        throw new Error(`native: expected a float32, int32 or bool tensor, got ${entry.dtype}`);
      }
      entry.buffer = this.#upload(entry.values as NumericValues);
    }
    return entry.buffer;
  }

  /** The values of a tensor of at most 16 elements that are still in JavaScript; else null. Not to be changed. */
  smallValues(x: TensorInfo): NumericValues | null {
    const { values, dtype } = this.#entry(x.dataId);
    return dtypeCode(dtype) === undefined ? null : (values as NumericValues | null);
  }

  // ---- KernelBackend ---------------------------------------------------------------------------------------------

  override write(values: BackendValues, shape: number[], dtype: tf.DataType): DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: DataId,
    values: BackendValues,
    shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    const size = tf.util.sizeFromShape(shape);
    this.#data.set(dataId, { ...this.#store(values, size, shape, dtype), dtype, size, refCount });
  }

  override readSync(dataId: DataId): BackendValues {
    const { dtype, size, values, buffer, parts } = this.#entry(dataId);
    if (parts !== null) {
      return tf.backend_util.mergeRealAndImagArrays(
        this.readSync(parts.real.dataId) as Float32Array,
        this.readSync(parts.imag.dataId) as Float32Array,
      );
    }
    if (values !== null) return values.slice();
    const copy = newValues(dtype, size);
    if (buffer !== null) this.binding.read(buffer, copy);
    return copy;
  }

  override async read(dataId: DataId): Promise<BackendValues> {
    const { dtype, size, values, buffer, parts } = this.#entry(dataId);
    if (parts !== null) {
      const [real, imag] = await Promise.all([
        this.read(parts.real.dataId),
        this.read(parts.imag.dataId),
      ]);
      return tf.backend_util.mergeRealAndImagArrays(real as Float32Array, imag as Float32Array);
    }
    if (values !== null || buffer === null) return this.readSync(dataId);
    const copy = newValues(dtype, size);
    await this.binding.fetch(buffer, copy);
    return copy;
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.#data.has(dataId)) return true;
    const entry = this.#entry(dataId);
    entry.refCount--;
    if (!force && entry.refCount > 0) return false;
    if (entry.parts !== null) {
      this.disposeData(entry.parts.real.dataId, true);
      this.disposeData(entry.parts.imag.dataId, true);
    }
    if (entry.buffer !== null) this.binding.free(entry.buffer);
    this.#data.delete(dataId);
    return true;
  }

  override refCount(dataId: DataId): number {
    return this.#data.has(dataId) ? this.#entry(dataId).refCount : 0;
  }

  override incRef(dataId: DataId): void {
    this.#entry(dataId).refCount++;
  }

  override numDataIds(): number {
    return this.#data.numDataIds();
  }

  override floatPrecision(): 32 {
    return 32;
  }

  override memory(): BackendMemory {
    const { inUse, pooled, peak } = this.binding.table.memory();
    return {
      unreliable: false,
      reasons: [],
      numBytesAllocated: inUse,
      numBytesInPool: pooled,
      numBytesPeak: peak,
    };
  }

  override async time(f: () => void): Promise<tf.BackendTimingInfo> {
    const startMs = tf.util.now();
    f();
    return { kernelMs: tf.util.now() - startMs };
  }

  /** Tensors that are still held keep their buffers until they are collected. */
  override dispose(): void {}

  #entry(dataId: DataId): Entry {
    return this.#data.get(dataId);
  }

  #add(entry: Entry, shape: readonly number[]): TensorInfo {
    const dataId = {};
    this.#data.set(dataId, entry);
    return { dataId, shape: [...shape], dtype: entry.dtype };
  }

  /** Where these values go. */
  #store(
    values: BackendValues,
    size: number,
    shape: number[],
    dtype: tf.DataType,
  ): Pick<Entry, 'values' | 'buffer' | 'parts'> {
    if (dtype === 'complex64')
      return { values: null, buffer: null, parts: this.#split(values, shape) };
    if (dtype === 'string') return { values, buffer: null, parts: null };
    const typed = toDtype(values as ArrayLike<number> | null, size, dtype);
    if (size <= fewElements) return { values: typed.slice(), buffer: null, parts: null };
    return { values: null, buffer: this.#upload(typed), parts: null };
  }

  /** Interleaved pairs, as other backends hand complex64 over, to parts. */
  #split(values: BackendValues, shape: number[]): { real: TensorInfo; imag: TensorInfo } {
    const { real, imag } = tf.backend_util.splitRealAndImagArrays(values as Float32Array);
    return { real: this.upload(real, shape, 'float32'), imag: this.upload(imag, shape, 'float32') };
  }

  #upload(values: NumericValues): NativeBuffer {
    const buffer = this.binding.allocate(values.byteLength);
    this.binding.write(buffer, values);
    return buffer;
  }
}

/** Bytes an element has in a native buffer. */
export function bytesPerElement(dtype: tf.DataType): number {
  return dtype === 'bool' ? 1 : 4;
}

function newValues(dtype: tf.DataType, size: number): NumericValues {
  if (dtype === 'int32') return new Int32Array(size);
  return dtype === 'bool' ? new Uint8Array(size) : new Float32Array(size);
}

/** The values as the typed array of their dtype; null (from tfjs's own kernels) is zeros. */
function toDtype(
  values: ArrayLike<number> | null,
  size: number,
  dtype: tf.DataType,
): NumericValues {
  const right =
    (dtype === 'float32' && values instanceof Float32Array) ||
    (dtype === 'int32' && values instanceof Int32Array) ||
    (dtype === 'bool' && values instanceof Uint8Array);
  if (right) return values;
  const converted = newValues(dtype, size);
  if (values !== null) converted.set(values);
  return converted;
}
