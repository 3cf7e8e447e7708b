// SPDX-License-Identifier: Apache-2.0
// Takes what one pipe delivers: into one array of the expected size, or growing up to a limit when the size is unknown.

export interface ByteSink {
  /** False when more arrives than was expected: the process can be stopped. */
  readonly accept: (chunk: Buffer) => boolean;
  /** True once bytes beyond the expected count (or the limit) arrived. */
  readonly overflowed: () => boolean;
  /** Bytes kept so far. */
  readonly length: () => number;
  /** The first `byteLength` bytes; zeros beyond what arrived. Without a copy where the sizes agree. */
  readonly take: (byteLength: number) => Uint8Array;
}

/** `expected`: exact byte count, or null; `limit`: the most to keep when it is null. */
export function byteSink(expected: number | null, limit: number): ByteSink {
  const most = expected ?? limit;
  let bytes = new Uint8Array(expected ?? Math.min(limit, 2 ** 20));
  let length = 0;
  let over = false;
  const grow = (needed: number): void => {
    const larger = new Uint8Array(Math.min(limit, Math.max(needed, bytes.length * 2)));
    larger.set(bytes.subarray(0, length));
    bytes = larger;
  };
  return {
    accept: (chunk) => {
      const fitting = Math.min(chunk.length, most - length);
      if (length + fitting > bytes.length) grow(length + fitting);
      bytes.set(chunk.subarray(0, fitting), length);
      length += fitting;
      if (fitting < chunk.length) over = true;
      return !over;
    },
    overflowed: () => over,
    length: () => length,
    take: (byteLength) => {
      if (byteLength === bytes.length) return bytes;
      const taken = new Uint8Array(byteLength);
      taken.set(bytes.subarray(0, Math.min(length, byteLength)));
      return taken;
    },
  };
}
