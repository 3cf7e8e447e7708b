// SPDX-License-Identifier: Apache-2.0
// Fixtures are written by the Python library (conformance/golden/safetensors_interop.py).
import { readFileSync } from 'node:fs';

import { CheckpointError } from '@diffmavil/core';
import { describe, expect, it } from 'vitest';

import { readSafetensors, readSafetensorsFile, writeSafetensors } from './safetensors.ts';

const fixture = (name: string): Uint8Array =>
  readFileSync(
    new URL(
      `../../../conformance/golden/fixtures/safetensors/${name}.safetensors`,
      import.meta.url,
    ),
  );

const fileOf = (header: string, data: number): Uint8Array => {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
};
const refusal = (bytes: Uint8Array): string => {
  try {
    readSafetensors(bytes, 'weights.safetensors');
    return 'nothing';
  } catch (error) {
    return error instanceof CheckpointError ? error.message : String(error);
  }
};

describe('readSafetensors', () => {
  it('reads every type PyTorch wrote, halves widened to float32', () => {
    const tensors = readSafetensors(fixture('every-type'));
    expect(tensors['weights.f32']).toEqual({
      dtype: 'F32',
      shape: [2, 3],
      data: Float32Array.of(1.5, -2.25, 3, 2 ** -149, 3.4028234663852886e38, -0),
    });
    expect([...(tensors['weights.f16']?.data ?? [])]).toEqual([
      0,
      -0,
      2 ** -24,
      -(2 ** -14),
      1,
      -1.5,
      0.333251953125,
      65504,
      Infinity,
      -Infinity,
    ]);
    expect([...(tensors['weights.bf16']?.data ?? [])]).toEqual([
      0,
      -0,
      2 ** -133,
      1,
      -1.5,
      3.140625,
      3.3895313892515355e38,
      Infinity,
      -Infinity,
    ]);
    expect(tensors['indices.i32']).toEqual({
      dtype: 'I32',
      shape: [2, 2],
      data: Int32Array.of(0, -1, 2147483647, -2147483648),
    });
    expect(tensors['indices.i64']?.data).toEqual(BigInt64Array.of(0n, -1n, 9007199254740993n));
    expect(tensors['scalar']).toEqual({ dtype: 'F32', shape: [], data: Float32Array.of(0.1) });
    expect(tensors['empty']).toEqual({ dtype: 'F32', shape: [0, 3], data: new Float32Array(0) });
    expect(tensors['größe.重み']?.data).toEqual(Float32Array.of(7));
  });

  it('reads the metadata', () => {
    expect(readSafetensorsFile(fixture('every-type')).metadata).toEqual({ format: 'pt' });
    expect(readSafetensorsFile(fileOf('{}', 0)).metadata).toEqual({});
  });

  it('reads bytes that start anywhere in a larger buffer', () => {
    const bytes = fixture('layout');
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(readSafetensors(shifted.subarray(3))).toEqual(readSafetensors(bytes));
  });

  it('refuses a type it does not know', () => {
    expect(refusal(fixture('unknown-type'))).toBe(
      'safetensors: expected dtype F32, F16, BF16, I32, I64 of x in weights.safetensors, got F64',
    );
  });

  it('refuses a file cut short anywhere', () => {
    const bytes = fixture('layout');
    expect(refusal(bytes.subarray(0, 5))).toBe(
      'safetensors: expected at least 8 bytes in weights.safetensors, got 5',
    );
    expect(refusal(bytes.subarray(0, 40))).toBe(
      `safetensors: expected a header within 40 bytes in weights.safetensors, got a header of ${bytes[0]! + 256 * bytes[1]!} bytes`,
    );
    expect(refusal(bytes.subarray(0, -1))).toBe(
      `safetensors: expected ${bytes.length} bytes in weights.safetensors, got ${bytes.length - 1}`,
    );
    for (let length = 0; length < bytes.length; length++) {
      expect(() => readSafetensors(bytes.subarray(0, length))).toThrow(CheckpointError);
    }
  });

  it('names plain bytes as such', () => {
    expect(() => readSafetensors(new Uint8Array(3))).toThrow(
      'safetensors: expected at least 8 bytes in bytes, got 3',
    );
  });

  it.each<[string, Uint8Array, string]>([
    [
      'a header that is no JSON',
      fileOf('{"x":', 0),
      'safetensors: expected a JSON header in weights.safetensors, got "{\\"x\\":"',
    ],
    [
      'a header that is no object',
      fileOf('[1]', 0),
      'safetensors: expected a JSON header in weights.safetensors, got "[1]"',
    ],
    [
      'a tensor without offsets',
      fileOf('{"x":{"dtype":"F32","shape":[1]}}', 4),
      'safetensors: expected dtype, shape and data_offsets of x in weights.safetensors, got {"dtype":"F32","shape":[1]}',
    ],
    [
      'a negative size',
      fileOf('{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4),
      'safetensors: expected dtype, shape and data_offsets of x in weights.safetensors, got {"dtype":"F32","shape":[-1],"data_offsets":[0,4]}',
    ],
    [
      'bytes that do not fit the shape',
      fileOf('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4),
      'safetensors: expected 8 bytes of x, F32 [2] in weights.safetensors, got 4',
    ],
    [
      'tensors that overlap',
      fileOf(
        '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        8,
      ),
      'safetensors: expected tensors that do not overlap in weights.safetensors, got y from byte 4 where 8 was next',
    ],
    [
      'a gap',
      fileOf('{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
      'safetensors: expected tensors without gaps in weights.safetensors, got x from byte 4 where 0 was next',
    ],
    [
      'bytes of no tensor',
      fileOf('{}', 1),
      'safetensors: expected 10 bytes in weights.safetensors, got 11',
    ],
    [
      'metadata of numbers',
      fileOf('{"__metadata__":{"a":1}}', 0),
      'safetensors: expected metadata of strings in weights.safetensors, got {"a":1}',
    ],
  ])('refuses %s', (_, bytes, message) => {
    expect(refusal(bytes)).toBe(message);
  });
});

describe('writeSafetensors', () => {
  it('writes the very bytes Python writes for the same tensors', () => {
    const bytes = fixture('layout');
    const { tensors, metadata } = readSafetensorsFile(bytes);
    const shuffled = Object.fromEntries(Object.entries(tensors).toReversed());
    expect(Buffer.from(writeSafetensors(shuffled, metadata)).equals(bytes)).toBe(true);
  });

  it('writes an empty record', () => {
    expect(readSafetensors(writeSafetensors({}))).toEqual({});
  });

  it('refuses data that does not fit its shape, and the reserved name', () => {
    expect(() => writeSafetensors({ x: { shape: [2, 2], data: new Float32Array(3) } })).toThrow(
      'writeSafetensors: expected 4 values for x of shape [2, 2], got 3',
    );
    expect(() =>
      writeSafetensors({ __metadata__: { shape: [], data: Float32Array.of(1) } }),
    ).toThrow("writeSafetensors: expected tensor names, got the reserved '__metadata__'");
  });
});
