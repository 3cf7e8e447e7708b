// SPDX-License-Identifier: Apache-2.0
import { assert, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MediaError } from './media-error.ts';
import { readWav, writeWav } from './wav.ts';

/** A WAV file by hand: format code, bits, channels, then raw sample bytes. */
function file(
  code: number,
  bits: number,
  channels: number,
  data: readonly number[],
  change: { extensible?: boolean; dataSize?: number; riffSize?: number; block?: number } = {},
): Uint8Array {
  const formatBytes = change.extensible ? 40 : 16;
  const bytes = Buffer.alloc(20 + formatBytes + 8 + data.length);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(change.riffSize ?? bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(formatBytes, 16);
  bytes.writeUInt16LE(change.extensible ? 0xfffe : code, 20);
  bytes.writeUInt16LE(channels, 22);
  bytes.writeUInt32LE(8000, 24);
  bytes.writeUInt32LE((8000 * channels * bits) / 8, 28);
  bytes.writeUInt16LE(change.block ?? (channels * bits) / 8, 32);
  bytes.writeUInt16LE(bits, 34);
  if (change.extensible) bytes.writeUInt16LE(code, 44);
  const at = 20 + formatBytes;
  bytes.write('data', at);
  bytes.writeUInt32LE(change.dataSize ?? data.length, at + 4);
  bytes.set(data, at + 8);
  return bytes;
}

const reasonOf = (f: () => unknown): string => {
  try {
    f();
  } catch (error) {
    return error instanceof MediaError
      ? `${error.reason}: ${error.message}`
      : `foreign ${String(error)}`;
  }
  return 'no error';
};

describe('readWav', () => {
  // Each row: the bytes of -1, -0.5, 0, 0.5 in the encoding, by its definition.
  const halves: readonly (readonly [string, number, number, number[]])[] = [
    ['8-bit PCM', 1, 8, [0, 64, 128, 192]],
    ['16-bit PCM', 1, 16, [0, 0x80, 0, 0xc0, 0, 0, 0, 0x40]],
    ['24-bit PCM', 1, 24, [0, 0, 0x80, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0x40]],
    ['32-bit PCM', 1, 32, [0, 0, 0, 0x80, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0x40]],
    ['32-bit float', 3, 32, [...new Uint8Array(new Float32Array([-1, -0.5, 0, 0.5]).buffer)]],
    ['64-bit float', 3, 64, [...new Uint8Array(new Float64Array([-1, -0.5, 0, 0.5]).buffer)]],
  ];
  it.each(halves)('reads %s, plain and extensible, mono and stereo', (_, code, bits, data) => {
    const mono = { sampleRate: 8000, channels: [new Float32Array([-1, -0.5, 0, 0.5])] };
    expect(readWav(file(code, bits, 1, data))).toEqual(mono);
    expect(readWav(file(code, bits, 1, data, { extensible: true }))).toEqual(mono);
    expect(readWav(file(code, bits, 2, data)).channels).toEqual([
      new Float32Array([-1, 0]),
      new Float32Array([-0.5, 0.5]),
    ]);
  });

  it('reads bytes at an odd offset of their buffer and skips chunks it does not know', () => {
    const plain = file(1, 16, 1, [1, 0, 2, 0]);
    const list = Buffer.from('LIST\x03\0\0\0abc\0', 'latin1'); // odd length, padded
    const whole = Buffer.concat([plain.subarray(0, 12), list, plain.subarray(12)]);
    const shifted = new Uint8Array(whole.length + 1);
    shifted.set(whole, 1);
    const { channels } = readWav(shifted.subarray(1));
    expect(channels).toEqual([new Float32Array([1 / 32768, 2 / 32768])]);
  });

  it('reads to the end when the writer never filled in the length', () => {
    const data = [1, 0, 2, 0, 3];
    for (const change of [{ dataSize: 0xffffffff }, { dataSize: 0, riffSize: 0 }]) {
      expect(readWav(file(1, 16, 1, data, change)).channels[0]?.length).toBe(2);
    }
  });

  it.each([
    ['empty: readWav: expected a WAV file, got no bytes.', new Uint8Array(0)],
    [
      'not-media: readWav: expected a file that begins with RIFF…WAVE, got bytes 68656c6c6f20776f726c6421.',
      Buffer.from('hello world!'),
    ],
    [
      'truncated: readWav: expected a file that begins with RIFF…WAVE, got bytes 52494646.',
      Buffer.from('RIFF'),
    ],
    [
      'truncated: readWav: expected a data chunk, got none in 36 bytes.',
      file(1, 16, 1, [0, 0]).subarray(0, 36),
    ],
    [
      'truncated: readWav: expected a fmt chunk of 16 bytes, got 10.',
      file(1, 16, 1, [0, 0]).subarray(0, 30),
    ],
    [
      'truncated: readWav: expected 100 bytes of samples, got 4.',
      file(1, 16, 1, [0, 0, 0, 0], { dataSize: 100 }),
    ],
    ['too-short: readWav: expected at least one sample, got none.', file(1, 16, 1, [])],
    [
      'not-media: readWav: expected PCM of 8, 16, 24 or 32 bits or float of 32 or 64, got format code 17 with 4 bits.',
      file(17, 4, 1, [0]),
    ],
    [
      'not-media: readWav: expected PCM of 8, 16, 24 or 32 bits or float of 32 or 64, got format code 3 with 16 bits.',
      file(3, 16, 1, [0, 0]),
    ],
    ['not-media: readWav: expected 1 to 256 channels, got 0.', file(1, 16, 0, [0, 0])],
    [
      'not-media: readWav: expected 2 bytes per sample of all channels, got 7.',
      file(1, 16, 1, [0, 0], { block: 7 }),
    ],
  ] as const)('refuses with "%s"', (message, bytes) => {
    expect(reasonOf(() => readWav(bytes))).toBe(message);
  });

  it('throws nothing but MediaError on any bytes after a true beginning', () => {
    const start = [...file(1, 16, 1, [])].slice(0, 16);
    assert(
      property(uint8Array({ maxLength: 80 }), (rest) => {
        const outcome = reasonOf(() => readWav(new Uint8Array([...start, ...rest])));
        expect(outcome).not.toMatch(/^foreign/);
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe('writeWav', () => {
  const waveform = new Float32Array([0, 0.25, -1, 1, 2, -3, 1 / 65536]);

  it('writes 16-bit PCM that comes back within half a step, clipped', () => {
    const back = readWav(writeWav(waveform, 16_000));
    expect(back.sampleRate).toBe(16_000);
    const top = 32767 / 32768;
    expect(back.channels).toEqual([new Float32Array([0, 0.25, -1, top, top, -1, 1 / 32768])]);
  });

  it('writes float32 that comes back bit for bit, channel by channel', () => {
    const channels = [waveform, waveform.map((v) => -v)];
    const back = readWav(writeWav(channels, 44_100, { format: 'float32' }));
    expect(back).toEqual({ channels, sampleRate: 44_100 });
  });

  it.each([
    [
      'bad-option: writeWav: expected sampleRate to be an integer from 1 to 768000, got NaN.',
      () => writeWav(waveform, Number.NaN),
    ],
    [
      'bad-option: writeWav: expected samples to be an integer from 1 to 1073741824, got 0.',
      () => writeWav(new Float32Array(0), 8000),
    ],
    [
      'bad-option: writeWav: expected channels to be an integer from 1 to 256, got 0.',
      () => writeWav([], 8000),
    ],
    [
      'bad-option: writeWav: expected channels of one length (7), got 1.',
      () => writeWav([waveform, new Float32Array(1)], 8000),
    ],
    [
      'bad-option: writeWav: expected finite samples, got NaN at 1.',
      () => writeWav(new Float32Array([0, Number.NaN]), 8000),
    ],
  ])('refuses with "%s"', (message, write) => {
    expect(reasonOf(write)).toBe(message);
  });
});
