// SPDX-License-Identifier: Apache-2.0
// Reads the golden fixtures that the programs in conformance/golden write. On purpose not the reader of the model package:
// that one is under test itself.
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';

const fixtures = new URL('../../../conformance/golden/fixtures/', import.meta.url);

export interface FixtureTensor {
  /** As safetensors calls it: F32, F64, I32, I64, U8 or BOOL. */
  readonly dtype: string;
  readonly shape: number[];
  /** I64 is read into a Float64Array. */
  readonly data: Float32Array | Float64Array | Int32Array | Uint8Array;
}

export interface Fixture {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** The entry of that name; throws when there is none. */
  readonly get: (name: string) => FixtureTensor;
  /** The entry as a new tensor: float32 for F32 and F64, bool for BOOL, else int32. */
  readonly tensor: (name: string) => tf.Tensor;
}

/** Reads a safetensors file; a relative path starts in conformance/golden/fixtures. */
export function readFixture(path: string): Fixture {
  const bytes = readFileSync(fixturePath(path));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const json = bytes.toString('utf8', 8, 8 + headerLength);
  const { __metadata__: metadata, ...entries } = JSON.parse(json) as Header;
  const get = (name: string): FixtureTensor => {
    const entry = entries[name];
    if (entry === undefined) {
      throw new Error(
        `readFixture: expected ${name} in ${path}, got ${Object.keys(entries).join(', ')}`,
      );
    }
    const [start, end] = entry.data_offsets;
    // A copy, because typed arrays want aligned offsets.
    const own = Uint8Array.from(bytes.subarray(8 + headerLength + start, 8 + headerLength + end));
    return { dtype: entry.dtype, shape: entry.shape, data: decode(entry.dtype, own, path) };
  };
  return {
    names: Object.keys(entries),
    metadata: (metadata ?? {}) as unknown as Record<string, string>,
    get,
    tensor: (name) => {
      const { dtype, shape, data } = get(name);
      if (dtype === 'BOOL') return tf.tensor(data, shape, 'bool');
      return dtype.startsWith('F')
        ? tf.tensor(Float32Array.from(data), shape, 'float32')
        : tf.tensor(Int32Array.from(data), shape, 'int32');
    },
  };
}

/** Reads a JSON file; a relative path starts in conformance/golden/fixtures. The caller states its type. */
export function readJsonFixture(path: string): unknown {
  return JSON.parse(readFileSync(fixturePath(path), 'utf8'));
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

/** Also holds `__metadata__`, a record of strings. */
type Header = Record<string, HeaderEntry>;

function fixturePath(path: string): string {
  return isAbsolute(path) ? path : fileURLToPath(new URL(path, fixtures));
}

function decode(
  dtype: string,
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): FixtureTensor['data'] {
  const { buffer } = bytes;
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F64':
      return new Float64Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return Float64Array.from(new BigInt64Array(buffer), Number);
    case 'U8':
    case 'BOOL':
      return bytes;
    default:
      throw new Error(
        `readFixture: expected F32, F64, I32, I64, U8 or BOOL in ${path}, got ${dtype}`,
      );
  }
}
