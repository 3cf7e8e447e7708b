// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import {
  type Color,
  type Picture,
  blankPicture,
  composeGrid,
  decodePicture,
  drawPicture,
  drawText,
  encodePicture,
  enlarge,
  framePicture,
  magmaColor,
  spectrogramPicture,
  textWidth,
} from './picture.ts';

const pixel = ({ data, width }: Picture, x: number, y: number): number[] => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
const red: Color = [200, 10, 20];
const white: Color = [255, 255, 255];

/** The picture as text, '#' where it is not white. */
const drawn = (picture: Picture): string[] =>
  Array.from({ length: picture.height }, (_, y) =>
    Array.from({ length: picture.width }, (_, x) =>
      pixel(picture, x, y).every((part) => part === 255) ? '.' : '#',
    ).join(''),
  );

describe('png', () => {
  it('comes back with the pixels and the description it was written with', () => {
    const picture = { width: 2, height: 1, data: Uint8Array.from([1, 2, 3, 250, 251, 252]) };
    const bytes = encodePicture(picture, 'two pixels');
    expect([...bytes.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
    const { width, height, data, description } = decodePicture(bytes, 'x.png');
    expect({ width, height, data: [...data], description }).toEqual({
      width: 2,
      height: 1,
      data: [1, 2, 3, 250, 251, 252],
      description: 'two pixels',
    });
    expect(decodePicture(encodePicture(picture), 'x.png').description).toBeNull();
  });

  it('refuses bytes that are no PNG', () => {
    expect(() => decodePicture(Uint8Array.from([1, 2, 3]), 'x.png')).toThrow(
      /^x\.png: expected a PNG of 8-bit RGB, got /,
    );
  });
});

describe('magmaColor', () => {
  // Colours 0, 17, 128 and 255 of matplotlib 3.11.2's table; 128 lies between control points and may differ by 3.
  it('meets the published table', () => {
    expect(magmaColor(0)).toEqual([0, 0, 4]);
    expect(magmaColor(17 / 255)).toEqual([0x0b, 0x09, 0x24]);
    expect(magmaColor(1)).toEqual([0xfc, 0xfd, 0xbf]);
    magmaColor(128 / 255).forEach((part, i) =>
      expect(Math.abs(part - [183, 55, 121][i]!)).toBeLessThanOrEqual(3),
    );
  });

  it('clamps, and takes NaN for the lowest', () => {
    expect(magmaColor(-1)).toEqual(magmaColor(0));
    expect(magmaColor(7)).toEqual(magmaColor(1));
    expect(magmaColor(Number.NaN)).toEqual(magmaColor(0));
  });
});

describe('spectrogramPicture', () => {
  it('puts time to the right and low frequencies at the bottom', () => {
    // 3 frames x 2 mels: loud in frame 0 at the low mel, and in frame 2 at the high one.
    const values = Float32Array.from([5, -5, -5, -5, -5, 5]);
    const picture = spectrogramPicture({ values, frames: 3, mels: 2, low: -5, high: 5 });
    expect([picture.width, picture.height]).toEqual([3, 2]);
    expect(pixel(picture, 0, 1)).toEqual([0xfc, 0xfd, 0xbf]);
    expect(pixel(picture, 2, 0)).toEqual([0xfc, 0xfd, 0xbf]);
    expect(pixel(picture, 0, 0)).toEqual([0, 0, 4]);
    expect(pixel(picture, 1, 1)).toEqual([0, 0, 4]);
  });

  it('draws a spectrogram of one value', () => {
    const values = Float32Array.from([2, 2]);
    const picture = spectrogramPicture({ values, frames: 2, mels: 1, low: 2, high: 2 });
    expect(pixel(picture, 1, 0)).toEqual([0, 0, 4]);
  });
});

describe('pictures', () => {
  it('enlarges by whole factors', () => {
    const big = enlarge({ width: 2, height: 1, data: Uint8Array.from([1, 1, 1, 9, 9, 9]) }, 2, 3);
    expect([big.width, big.height]).toEqual([4, 3]);
    expect([0, 1, 2, 3].map((x) => pixel(big, x, 2)[0])).toEqual([1, 1, 9, 9]);
  });

  it('takes one frame, rounded and clamped', () => {
    const frame = framePicture(Float32Array.from([0, 0, 0, -4, 127.6, 300]), 1, 1);
    expect([...frame.data]).toEqual([0, 128, 255]);
  });

  it('cuts what lies outside', () => {
    const target = blankPicture(2, 2, white);
    drawPicture(target, blankPicture(5, 5, red), 1, 1);
    expect(drawn(target)).toEqual(['..', '.#']);
    drawPicture(target, blankPicture(1, 1, red), 7, 7);
    expect(drawn(target)).toEqual(['..', '.#']);
  });

  it('writes text, with a box for what the font lacks', () => {
    const target = blankPicture(textWidth('Ab\u4e2d', 1), 9, white);
    drawText(target, 'Ab\u4e2d', { left: 0, top: 0, scale: 1, color: red });
    expect(drawn(target)).toEqual([
      '......#.....#####',
      '......#.....#...#',
      '.###..#.##..#...#',
      '....#.##..#.#...#',
      '.####.#...#.#...#',
      '#...#.#...#.#...#',
      '.####.####..#####',
      '.................',
      '.................',
    ]);
  });

  it('puts rows behind their labels', () => {
    const cell = blankPicture(30, 40, red);
    const row = { label: ['a', 'bb'], cells: [cell, cell] };
    const grid = composeGrid([{ heading: 'h', rows: [row, row] }]);
    // Label column: 20 + textWidth('bb', 2) = 22 + 20; two cells of 30 and a gap of 6; 20 at the right.
    expect([grid.width, grid.height]).toEqual([62 + 66 + 20, 40 + 22 + 2 * (44 + 6)]);
    expect(pixel(grid, 62, 48)).toEqual([...red]);
    expect(pixel(grid, 62 + 36, 48)).toEqual([...red]);
    expect(pixel(grid, 62 + 33, 48)).toEqual([...white]);
    expect(pixel(grid, 62, 48 + 50)).toEqual([...red]);
  });
});
