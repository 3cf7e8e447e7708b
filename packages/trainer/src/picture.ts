// SPDX-License-Identifier: Apache-2.0
// RGB pictures as plain arrays: made of spectrograms and frames, enlarged, labelled, put into grids, written as PNG.
import { ConfigError } from '@diffmavil/core';
import { decode, encode } from 'fast-png';
import { glyphHeight, glyphWidth, isInk } from './picture-font.ts';

/** `data` is `[height, width, 3]`, 0..255. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Red, green, blue, 0..255. */
export type Color = readonly [red: number, green: number, blue: number];

const channels = 3;

/** A picture of one colour. */
export function blankPicture(width: number, height: number, color: Color): Picture {
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) data[i] = color[i % channels]!;
  return { width, height, data };
}

/** Draws `source` into `target`, in place; what lies outside is cut. `left` and `top` are in pixels, 0 or more. */
export function drawPicture(target: Picture, source: Picture, left: number, top: number): void {
  const width = Math.min(source.width, target.width - left);
  const height = Math.min(source.height, target.height - top);
  for (let y = 0; y < height; y++) {
    const from = y * source.width * channels;
    const row = source.data.subarray(from, from + Math.max(0, width) * channels);
    target.data.set(row, ((top + y) * target.width + left) * channels);
  }
}

/** Every pixel as a block of `across` x `down` equal ones; whole factors, 1 or more. */
export function enlarge(picture: Picture, across: number, down: number = across): Picture {
  const width = picture.width * across;
  const height = picture.height * down;
  const data = new Uint8Array(width * height * channels);
  let at = 0;
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / down) * picture.width;
    for (let x = 0; x < width; x++) {
      const from = (row + Math.floor(x / across)) * channels;
      data[at++] = picture.data[from]!;
      data[at++] = picture.data[from + 1]!;
      data[at++] = picture.data[from + 2]!;
    }
  }
  return { width, height, data };
}

/** Sixteen of the 256 colours of matplotlib's `magma` (CC0), every 17th; straight lines between them stay within 3 of 255. */
const magma: readonly Color[] = (
  '000004 0b0924 20114b 3b0f70 57157e 721f81 8c2981 a8327d ' +
  'c43c75 de4968 f1605d fa7f5e fe9f6d febf84 fddea0 fcfdbf'
)
  .split(' ')
  .map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as never);

/** Colour of a value 0..1 (clamped; NaN as 0): dark to light, evenly to the eye. */
export function magmaColor(value: number): Color {
  const place = Math.min(Math.max(value, 0) || 0, 1) * (magma.length - 1);
  const low = Math.min(Math.floor(place), magma.length - 2);
  const [from, to] = [magma[low]!, magma[low + 1]!];
  return from.map((part, i) => Math.round(part + (place - low) * (to[i]! - part))) as never;
}

/** A spectrogram to draw: `values` is `[frames, mels]`; `low` and `high` are the values of the darkest and the lightest colour. */
export interface SpectrogramView {
  readonly values: Float32Array;
  readonly frames: number;
  readonly mels: number;
  readonly low: number;
  readonly high: number;
}

/** A picture `frames` wide and `mels` high: time to the right, low frequencies at the bottom. */
export function spectrogramPicture({ values, frames, mels, low, high }: SpectrogramView): Picture {
  const picture = { width: frames, height: mels, data: new Uint8Array(frames * mels * channels) };
  const span = high > low ? high - low : 1;
  for (let frame = 0; frame < frames; frame++) {
    for (let mel = 0; mel < mels; mel++) {
      const color = magmaColor((values[frame * mels + mel]! - low) / span);
      picture.data.set(color, ((mels - 1 - mel) * frames + frame) * channels);
    }
  }
  return picture;
}

/** One of the frames of `pixels` `[frames, size, size, 3]`, 0..255, rounded and clamped. */
export function framePicture(pixels: Float32Array, size: number, frame: number): Picture {
  const values = size * size * channels;
  const part = pixels.subarray(frame * values, (frame + 1) * values);
  return { width: size, height: size, data: new Uint8Array(Uint8ClampedArray.from(part)) };
}

/** Width of a text in pixels; a character takes 6 x `scale`, the gap between two included. */
export function textWidth(text: string, scale: number): number {
  return Math.max(0, text.length * (glyphWidth + 1) - 1) * scale;
}

/** Writes a line of text in place; `top` is the top of its highest letters. A line is 9 x `scale` high, descenders included. */
export function drawText(
  target: Picture,
  text: string,
  { left, top, scale, color }: { left: number; top: number; scale: number; color: Color },
): void {
  const dot = blankPicture(scale, scale, color);
  for (const [i, character] of Array.from(text).entries()) {
    for (let row = 0; row < glyphHeight; row++) {
      for (let column = 0; column < glyphWidth; column++) {
        if (!isInk(character, row, column)) continue;
        const x = left + (i * (glyphWidth + 1) + column) * scale;
        if (x < target.width) drawPicture(target, dot, x, top + row * scale);
      }
    }
  }
}

/** A row of a grid: pictures side by side behind a label. */
export interface GridRow {
  /** Lines of the label; the first is dark, the others grey. */
  readonly label: readonly string[];
  readonly cells: readonly Picture[];
}

/** Rows under a heading. */
export interface GridSection {
  readonly heading: string;
  readonly rows: readonly GridRow[];
}

const paper: Color = [255, 255, 255];
const ink: Color = [34, 38, 46];
const faint: Color = [112, 118, 130];
const margin = 20;
const sectionGap = 28;
const cellGap = 6;
const textScale = 2;
const lineHeight = 11 * textScale;

/** Draws sections one under the other on white, with margins and a column of labels on the left. */
export function composeGrid(sections: readonly GridSection[]): Picture {
  const rows = sections.flatMap((section) => section.rows);
  const labels = rows.flatMap((row) => row.label).map((line) => textWidth(line, textScale));
  const start = margin + Math.max(0, ...labels) + margin;
  const right = (row: GridRow): number =>
    start + row.cells.reduce((sum, cell) => sum + cell.width + cellGap, -cellGap);
  const headings = sections.map(({ heading }) => margin + textWidth(heading, textScale));
  const width = Math.max(...rows.map(right), ...headings) + margin;
  const height = 2 * margin + sectionGap * (sections.length - 1) + sum(sections.map(sectionHeight));
  const picture = blankPicture(width, height, paper);
  let top = margin;
  for (const section of sections) {
    drawText(picture, section.heading, { left: margin, top, scale: textScale, color: ink });
    top += lineHeight + cellGap;
    for (const row of section.rows) {
      drawRow(picture, row, start, top);
      top += rowHeight(row) + cellGap;
    }
    top += sectionGap - cellGap;
  }
  return picture;
}

function drawRow(picture: Picture, row: GridRow, start: number, top: number): void {
  const tallest = Math.max(0, ...row.cells.map((cell) => cell.height));
  const blank = Math.max(0, tallest - row.label.length * lineHeight) / 2;
  row.label.forEach((line, i) => {
    const place = { left: margin, top: top + Math.floor(blank) + i * lineHeight };
    drawText(picture, line, { ...place, scale: textScale, color: i === 0 ? ink : faint });
  });
  let left = start;
  for (const cell of row.cells) {
    drawPicture(picture, cell, left, top);
    left += cell.width + cellGap;
  }
}

function rowHeight({ label, cells }: GridRow): number {
  return Math.max(label.length * lineHeight, ...cells.map((cell) => cell.height));
}

function sectionHeight({ rows }: GridSection): number {
  return lineHeight + sum(rows.map((row) => rowHeight(row) + cellGap));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** PNG bytes. `description` is kept in the file as its Description, which a report shows as caption. */
export function encodePicture({ width, height, data }: Picture, description?: string): Uint8Array {
  const text = description === undefined ? {} : { text: { Description: description } };
  return encode({ width, height, data, channels, depth: 8, ...text });
}

/** Reads a PNG of 8-bit RGB, as `encodePicture` writes it, and its Description. @throws ConfigError naming `where`. */
export function decodePicture(
  bytes: Uint8Array,
  where: string,
): Picture & { readonly description: string | null } {
  const expected = `${where}: expected a PNG of 8-bit RGB`;
  try {
    const png = decode(bytes);
    if (png.channels === channels && png.depth === 8 && png.data instanceof Uint8Array) {
      const { width, height, data, text } = png;
      return { width, height, data, description: text['Description'] ?? null };
    }
    throw new ConfigError(`${expected}, got ${png.channels} channels of ${png.depth} bits`);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${expected}, got ${(error as Error).message}`);
  }
}
