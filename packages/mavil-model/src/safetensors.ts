// SPDX-License-Identifier: Apache-2.0
// The safetensors file format: 8 bytes of header length, a JSON header, the tensors' bytes, little-endian.
// Reading is strict (a damaged file is named, never guessed at); writing lays out bytes as the Python library does.
import { CheckpointError } from '@diffmavil/core';

import { parseHeader } from './safetensors-header.ts';
import type { HeaderEntry } from './safetensors-header.ts';

/** One tensor of a file, row-major. F16 and BF16 of a file are widened to F32 on reading. */
export type SafeTensor =
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'I32'; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly dtype: 'I64'; readonly shape: readonly number[]; readonly data: BigInt64Array };

export interface SafetensorsFile {
  readonly tensors: Record<string, SafeTensor>;
  readonly metadata: Record<string, string>;
}

/**
 * Tensors by name, in the file's order. Data shares `bytes` where alignment allows, so keep those unchanged.
 * F32, F16 and BF16 (both become float32), I32 and I64 are read.
 *
 * @param source names the file in errors.
 * @throws CheckpointError for a file that is cut short, has a damaged header, overlapping or missing bytes, or another dtype.
 */
export function readSafetensors(
  bytes: Uint8Array,
  source: string = 'bytes',
): Record<string, SafeTensor> {
  return readSafetensorsFile(bytes, source).tensors;
}

/** `readSafetensors` with the file's metadata (strings by name; empty when it has none). */
export function readSafetensorsFile(bytes: Uint8Array, source: string = 'bytes'): SafetensorsFile {
  const { entries, metadata, dataStart } = parseHeader(bytes, source);
  const tensors = entries.map(([name, entry]) => [name, readTensor(bytes, dataStart, entry)]);
  return { tensors: Object.fromEntries(tensors) as Record<string, SafeTensor>, metadata };
}

/** What can be written: the array's type decides the stored type. */
export interface WritableTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | BigInt64Array;
}

/**
 * The bytes of a file with these tensors. Byte for byte what Python's `safetensors` writes for the same tensors
 * (widest type first, then by name; header padded to 8 bytes).
 *
 * @throws CheckpointError when a shape does not fit its data or a name is '__metadata__'.
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, WritableTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, ...tensor, ...storedAs(name, tensor) }))
    .toSorted((a, b) => typeRank[a.dtype] - typeRank[b.dtype] || compareUtf8(a.name, b.name));
  const header: Record<string, unknown> =
    Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let end = 0;
  const fields = ordered.map(({ name, dtype, shape, data }) => {
    const start = end;
    end += data.byteLength;
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [start, end] })}`;
  });
  const start = JSON.stringify(header).slice(1, -1);
  const json = new TextEncoder().encode(
    `{${[start, ...fields].filter((s) => s !== '').join(',')}}`,
  );
  const headerLength = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + end).fill(0x20, 8, 8 + headerLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, 8);
  let at = 8 + headerLength;
  for (const { data } of ordered) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

type WrittenType = SafeTensor['dtype'];

/** Python's library sorts types by its own enumeration, largest first. */
const typeRank: Record<WrittenType, number> = { I64: 0, F32: 1, I32: 2 };

function storedAs(name: string, { shape, data }: WritableTensor): { dtype: WrittenType } {
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== data.length) {
    throw new CheckpointError(
      `writeSafetensors: expected ${size} values for ${name} of shape [${shape.join(', ')}], got ${data.length}`,
    );
  }
  if (name === '__metadata__') {
    throw new CheckpointError(
      "writeSafetensors: expected tensor names, got the reserved '__metadata__'",
    );
  }
  if (data instanceof Float32Array) return { dtype: 'F32' };
  return { dtype: data instanceof Int32Array ? 'I32' : 'I64' };
}

function compareUtf8(a: string, b: string): number {
  const [x, y] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0);
  }
  return x.length - y.length;
}

function readTensor(bytes: Uint8Array, dataStart: number, entry: HeaderEntry): SafeTensor {
  const [start, end] = entry.offsets;
  const { shape } = entry;
  const own = bytes.subarray(dataStart + start, dataStart + end);
  switch (entry.dtype) {
    case 'F32':
      return { dtype: 'F32', shape, data: new Float32Array(...aligned(own, 4)) };
    case 'F16':
      return { dtype: 'F32', shape, data: widen(own, halfToFloat) };
    case 'BF16':
      return { dtype: 'F32', shape, data: widenBfloat16(own) };
    case 'I32':
      return { dtype: 'I32', shape, data: new Int32Array(...aligned(own, 4)) };
    case 'I64':
      return { dtype: 'I64', shape, data: new BigInt64Array(...aligned(own, 8)) };
    default:
      return entry.dtype satisfies never;
  }
}

/** Buffer, offset and length of the bytes as elements of `size`; a copy when they are not aligned. */
function aligned(bytes: Uint8Array, size: number): [ArrayBuffer, number, number] {
  const whole = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return [whole.buffer as ArrayBuffer, whole.byteOffset, whole.byteLength / size];
}

function widen(bytes: Uint8Array, toFloat: (bits: number) => number): Float32Array {
  const halves = new Uint16Array(...aligned(bytes, 2));
  return Float32Array.from(halves, toFloat);
}

/** bfloat16 is the upper half of a float32. */
function widenBfloat16(bytes: Uint8Array): Float32Array {
  const words = Uint32Array.from(new Uint16Array(...aligned(bytes, 2)), (bits) => bits << 16);
  return new Float32Array(words.buffer);
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
