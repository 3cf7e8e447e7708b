// SPDX-License-Identifier: Apache-2.0
// RIFF/WAVE without ffmpeg: reads PCM 8/16/24/32 bit and float 32/64, plain or extensible, any number of channels;
// writes 16-bit PCM or 32-bit float. Layout: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0".

import { checkNumber, MediaError } from './media-error.ts';

export interface WavData {
  /** One array per channel, all of one length, values -1..1 (float files may exceed it). */
  readonly channels: Float32Array[];
  /** Hz, as the file says. */
  readonly sampleRate: number;
}

interface WavFormat {
  readonly float: boolean;
  readonly bits: number;
  readonly channels: number;
  readonly sampleRate: number;
}

const maxChannels = 256;

/**
 * Reads a whole WAV file. PCM is scaled by 2^-(bits-1), 8-bit PCM is unsigned around 128. A data chunk whose length
 * was never filled in (0xFFFFFFFF, or 0 in a file whose own length is 0 too) runs to the end of the bytes.
 * @param path names the file in errors
 * @throws MediaError `empty`, `not-media`, `truncated` (fewer bytes than the header promises), `too-short` (no sample)
 */
export function readWav(bytes: Uint8Array, path: string = ''): WavData {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 0) throw fault('empty', path, 'a WAV file', 'no bytes');
  if (tag(view, 0) !== 'RIFF' || tag(view, 8) !== 'WAVE') {
    const reason = bytes.length < 12 && 'RIFF'.startsWith(tag(view, 0)) ? 'truncated' : 'not-media';
    throw fault(reason, path, 'a file that begins with RIFF…WAVE', beginning(bytes));
  }
  let format: WavFormat | null = null;
  let offset = 12;
  while (offset + 8 <= bytes.length) {
    const name = tag(view, offset);
    const size = view.getUint32(offset + 4, true);
    const start = offset + 8;
    if (name === 'fmt ') format = readFormat(view, start, size, path);
    if (name === 'data') {
      if (format === null) throw fault('not-media', path, 'a fmt chunk before data', 'none');
      return {
        channels: readSamples(view, start, size, format, path),
        sampleRate: format.sampleRate,
      };
    }
    offset = start + size + (size & 1); // chunks are padded to even length
  }
  throw fault('truncated', path, 'a data chunk', `none in ${bytes.length} bytes`);
}

function readFormat(view: DataView, start: number, size: number, path: string): WavFormat {
  if (size < 16) throw fault('not-media', path, 'a fmt chunk of 16 bytes or more', `${size}`);
  if (start + size > view.byteLength) {
    throw fault('truncated', path, `a fmt chunk of ${size} bytes`, `${view.byteLength - start}`);
  }
  let code = view.getUint16(start, true);
  if (code === 0xfffe && size >= 26) code = view.getUint16(start + 24, true); // extensible: first half of the GUID
  const channels = view.getUint16(start + 2, true);
  const sampleRate = view.getUint32(start + 4, true);
  const blockBytes = view.getUint16(start + 12, true);
  const bits = view.getUint16(start + 14, true);
  const known = code === 1 ? [8, 16, 24, 32] : code === 3 ? [32, 64] : [];
  if (!known.includes(bits)) {
    const got = `format code ${code} with ${bits} bits`;
    throw fault('not-media', path, 'PCM of 8, 16, 24 or 32 bits or float of 32 or 64', got);
  }
  if (channels < 1 || channels > maxChannels) {
    throw fault('not-media', path, `1 to ${maxChannels} channels`, `${channels}`);
  }
  if (sampleRate < 1 || sampleRate > 768_000) {
    throw fault('not-media', path, 'a sample rate from 1 to 768000 Hz', `${sampleRate}`);
  }
  if (blockBytes !== (channels * bits) / 8) {
    const expected = `${(channels * bits) / 8} bytes per sample of all channels`;
    throw fault('not-media', path, expected, `${blockBytes}`);
  }
  return { float: code === 3, bits, channels, sampleRate };
}

function readSamples(
  view: DataView,
  start: number,
  size: number,
  format: WavFormat,
  path: string,
): Float32Array[] {
  const present = view.byteLength - start;
  const neverClosed = size === 0xffffffff || (size === 0 && view.getUint32(4, true) === 0);
  const promised = neverClosed ? present : size;
  const blockBytes = (format.channels * format.bits) / 8;
  const samples = Math.floor(promised / blockBytes);
  if (samples === 0) throw fault('too-short', path, 'at least one sample', 'none');
  if (present < samples * blockBytes) {
    throw fault('truncated', path, `${promised} bytes of samples`, `${present}`);
  }
  const read = sampleReader(view, format);
  return Array.from({ length: format.channels }, (_, channel) => {
    const values = new Float32Array(samples);
    let at = start + (channel * format.bits) / 8;
    for (let i = 0; i < samples; i++, at += blockBytes) values[i] = read(at);
    return values;
  });
}

function sampleReader(view: DataView, format: WavFormat): (at: number) => number {
  if (format.float) {
    return format.bits === 32
      ? (at) => view.getFloat32(at, true)
      : (at) => view.getFloat64(at, true);
  }
  if (format.bits === 8) return (at) => (view.getUint8(at) - 128) / 2 ** 7;
  if (format.bits === 16) return (at) => view.getInt16(at, true) / 2 ** 15;
  if (format.bits === 32) return (at) => view.getInt32(at, true) / 2 ** 31;
  return (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 2 ** 16) / 2 ** 23;
}

export interface WriteWavOptions {
  /** `'int16'` (default; values beyond -1..1 are clipped, rounded to the nearest step of 1/32768) or `'float32'` (exact). */
  readonly format?: 'int16' | 'float32';
}

/**
 * A WAV file as bytes. `waveform` is one channel or an array of channels of one length (>= 1 sample, finite).
 * @throws MediaError `bad-option`
 */
export function writeWav(
  waveform: Float32Array | readonly Float32Array[],
  sampleRate: number,
  options: WriteWavOptions = {},
): Uint8Array {
  const channels = waveform instanceof Float32Array ? [waveform] : waveform;
  const samples = channels[0]?.length ?? 0;
  checkNumber('writeWav', 'sampleRate', sampleRate, { low: 1, high: 768_000, integer: true });
  checkNumber('writeWav', 'channels', channels.length, {
    low: 1,
    high: maxChannels,
    integer: true,
  });
  checkNumber('writeWav', 'samples', samples, { low: 1, high: 2 ** 30, integer: true });
  for (const channel of channels) checkChannel(channel, samples);
  const float = options.format === 'float32';
  const sampleBytes = float ? 4 : 2;
  const dataBytes = samples * channels.length * sampleBytes;
  const bytes = new Uint8Array(44 + dataBytes);
  const view = new DataView(bytes.buffer);
  writeHeader(view, { float, bits: sampleBytes * 8, channels: channels.length, sampleRate });
  view.setUint32(40, dataBytes, true);
  let at = 44;
  for (let i = 0; i < samples; i++) {
    for (const channel of channels) {
      const value = channel[i] ?? 0;
      if (float) view.setFloat32(at, value, true);
      else view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true);
      at += sampleBytes;
    }
  }
  return bytes;
}

function checkChannel(channel: Float32Array, samples: number): void {
  const bad = channel.length === samples ? channel.findIndex((v) => !Number.isFinite(v)) : -1;
  if (channel.length !== samples) {
    const got = `${channel.length}`;
    throw fault('bad-option', '', `channels of one length (${samples})`, got, 'writeWav');
  }
  if (bad >= 0) {
    throw fault('bad-option', '', 'finite samples', `${channel[bad]} at ${bad}`, 'writeWav');
  }
}

function writeHeader(view: DataView, format: WavFormat): void {
  const blockBytes = (format.channels * format.bits) / 8;
  const text = (at: number, name: string): void => {
    for (let i = 0; i < 4; i++) view.setUint8(at + i, name.charCodeAt(i));
  };
  text(0, 'RIFF');
  view.setUint32(4, view.byteLength - 8, true);
  text(8, 'WAVE');
  text(12, 'fmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, format.float ? 3 : 1, true);
  view.setUint16(22, format.channels, true);
  view.setUint32(24, format.sampleRate, true);
  view.setUint32(28, format.sampleRate * blockBytes, true);
  view.setUint16(32, blockBytes, true);
  view.setUint16(34, format.bits, true);
  text(36, 'data');
}

function tag(view: DataView, offset: number): string {
  let name = '';
  for (let i = offset; i < Math.min(offset + 4, view.byteLength); i++) {
    name += String.fromCharCode(view.getUint8(i));
  }
  return name;
}

function beginning(bytes: Uint8Array): string {
  return `bytes ${Buffer.from(bytes.subarray(0, 12)).toString('hex')}`;
}

function fault(
  reason: MediaError['reason'],
  path: string,
  expected: string,
  got: string,
  where: string = 'readWav',
): MediaError {
  const file = path === '' ? '' : ` in "${path}"`;
  return new MediaError(reason, path, `${where}: expected ${expected}${file}, got ${got}.`);
}
