// SPDX-License-Identifier: Apache-2.0
// Reads and checks the header of a safetensors file: every byte of data belongs to exactly one tensor.
import { CheckpointError } from '@diffmavil/core';

/** Types this package reads. */
export type StoredType = 'F32' | 'F16' | 'BF16' | 'I32' | 'I64';

export interface HeaderEntry {
  readonly dtype: StoredType;
  readonly shape: number[];
  /** First byte and one past the last, counted from the start of the data. */
  readonly offsets: readonly [number, number];
}

export interface Header {
  /** In the order of the data. */
  readonly entries: [string, HeaderEntry][];
  readonly metadata: Record<string, string>;
  /** First byte of the data in the file. */
  readonly dataStart: number;
}

const itemBytes: Readonly<Record<StoredType, number>> = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8 };

/** As in the reference implementation: a longer header is a sign of damage. */
const maxHeaderBytes = 100_000_000;

/** Throws CheckpointError, one sentence that names `source`, for anything but a sound file. */
export function parseHeader(bytes: Uint8Array, source: string): Header {
  const fail = (expected: string, got: string): never => {
    throw new CheckpointError(`safetensors: expected ${expected} in ${source}, got ${got}`);
  };
  if (bytes.byteLength < 8) fail('at least 8 bytes', String(bytes.byteLength));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > Math.min(maxHeaderBytes, bytes.byteLength - 8)) {
    fail(`a header within ${bytes.byteLength} bytes`, `a header of ${headerLength} bytes`);
  }
  const dataStart = 8 + headerLength;
  const { __metadata__: metadata = {}, ...described } = parseJson(
    bytes.subarray(8, dataStart),
    fail,
  );
  if (!isStrings(metadata)) fail('metadata of strings', JSON.stringify(metadata));
  const entries = Object.entries(described)
    .map(([name, value]): [string, HeaderEntry] => [name, parseEntry(name, value, fail)])
    .toSorted(([, a], [, b]) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1]);
  let end = 0;
  for (const [name, { offsets }] of entries) {
    if (offsets[0] !== end) {
      const what = offsets[0] < end ? 'tensors that do not overlap' : 'tensors without gaps';
      fail(what, `${name} from byte ${offsets[0]} where ${end} was next`);
    }
    [, end] = offsets;
  }
  if (dataStart + end !== bytes.byteLength) {
    fail(`${dataStart + end} bytes`, `${bytes.byteLength}`);
  }
  return { entries, metadata: metadata as Record<string, string>, dataStart };
}

type Fail = (expected: string, got: string) => never;

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const header: unknown = JSON.parse(text);
    if (typeof header === 'object' && header !== null && !Array.isArray(header)) {
      return header as Record<string, unknown>;
    }
  } catch {
    // Told below: what matters is that the header is unreadable, not where the parser gave up.
  }
  return fail('a JSON header', text === '' ? 'no text' : JSON.stringify(text.slice(0, 32)));
}

function parseEntry(name: string, value: unknown, fail: Fail): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !isWholes(shape) || !isWholes(offsets) || offsets.length !== 2) {
    return fail(`dtype, shape and data_offsets of ${name}`, JSON.stringify(value) ?? String(value));
  }
  if (!Object.hasOwn(itemBytes, dtype)) {
    return fail(`dtype ${Object.keys(itemBytes).join(', ')} of ${name}`, dtype);
  }
  const stored = dtype as StoredType;
  const [start = 0, end = 0] = offsets;
  const size = shape.reduce((product, n) => product * n, itemBytes[stored]);
  if (end - start !== size) {
    return fail(`${size} bytes of ${name}, ${dtype} [${shape.join(', ')}]`, `${end - start}`);
  }
  return { dtype: stored, shape, offsets: [start, end] };
}

function isWholes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

function isStrings(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}
