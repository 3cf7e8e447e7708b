// SPDX-License-Identifier: Apache-2.0
// Scalars for TensorBoard: an event file is a sequence of length-prefixed, CRC-32C-checked protocol buffers (TFRecord). Only the
// three fields that scalars need are encoded: Event{wall_time = 1, step = 2, summary = 5}, Value{tag = 1, simple_value = 2}.
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Appends scalars to a new event file in `folder`. @param wallTimeSeconds Unix time, also part of the file's name. */
export function createEventFile(
  folder: string,
  wallTimeSeconds: number,
): (step: number, wallTimeSeconds: number, scalars: Readonly<Record<string, number>>) => void {
  mkdirSync(folder, { recursive: true });
  const file = join(
    folder,
    `events.out.tfevents.${Math.floor(wallTimeSeconds)}.diffmavil.${process.pid}`,
  );
  appendFileSync(
    file,
    record(concat([double(1, wallTimeSeconds), bytes(3, Buffer.from('brain.Event:2'))])),
  );
  return (step, seconds, scalars) => {
    const values = Object.entries(scalars).map(([tag, value]) =>
      bytes(1, concat([bytes(1, Buffer.from(tag)), float(2, value)])),
    );
    appendFileSync(
      file,
      record(concat([double(1, seconds), varintField(2, step), bytes(5, concat(values))])),
    );
  };
}

function record(data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return concat([length, maskedCrc(length), data, maskedCrc(data)]);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (Castagnoli). */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function maskedCrc(data: Buffer): Buffer {
  const crc = crc32c(data);
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const out = Buffer.alloc(4);
  out.writeUInt32LE(masked);
  return out;
}

const concat = (parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? low | 128 : low);
  } while (rest > 0);
  return Buffer.from(out);
}

const varintField = (field: number, value: number): Buffer =>
  concat([varint(field * 8), varint(value)]);
const bytes = (field: number, data: Uint8Array): Buffer =>
  concat([varint(field * 8 + 2), varint(data.length), data]);

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return concat([varint(field * 8 + 1), out]);
}

function float(field: number, value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return concat([varint(field * 8 + 5), out]);
}
