// SPDX-License-Identifier: Apache-2.0
// What every demo scene gets: draws, colours that stand out, a sound track; and the backdrop behind it.

import { hsv, type Canvas, type Color } from './canvas.ts';
import type { Track } from './track.ts';

export interface Stage {
  /** Next draw, 0..1. */
  readonly uniform: () => number;
  /** Next draw, scaled to a range. */
  readonly between: (low: number, high: number) => number;
  readonly seconds: number;
  /** Width over height. */
  readonly aspect: number;
  readonly track: Track;
  /** Colour of the thing, and one beside it. */
  readonly body: Color;
  readonly accent: Color;
  /** The first two draws of the backdrop: its hue and value. */
  readonly backdrop: Backdrop;
}

/** Adds its sound to the stage's track at once and returns what draws the picture at a time. */
export type Scene = (stage: Stage) => (canvas: Canvas, seconds: number) => void;

export interface Backdrop {
  readonly from: Color;
  readonly to: Color;
  /** Direction of the gradient, radians. */
  readonly angle: number;
  /** Strength of the texture in grey levels. */
  readonly texture: number;
  /** Stripes per picture height; 0: cloudy. */
  readonly stripes: number;
}

export interface Look {
  readonly backdrop: Backdrop;
  readonly body: Color;
  readonly accent: Color;
}

/** Colours of one clip: any backdrop, and a body on the other side of it in hue and brightness. */
export function drawLook(between: (low: number, high: number) => number): Look {
  const hue = between(0, 1);
  const dark = between(0, 1) < 0.5;
  const value = dark ? between(0.1, 0.35) : between(0.65, 0.95);
  const saturation = between(0.1, 0.6);
  const backdrop: Backdrop = {
    from: hsv(hue, saturation, value),
    to: hsv(hue + between(-0.12, 0.12), saturation, value * between(0.6, 1)),
    angle: between(0, 2 * Math.PI),
    texture: between(0, 26),
    stripes: between(0, 1) < 0.3 ? between(2, 9) : 0,
  };
  const opposite = hue + between(0.3, 0.7);
  const strong = dark ? between(0.8, 1) : between(0.15, 0.5);
  return {
    backdrop,
    body: hsv(opposite, between(0.5, 0.95), strong),
    accent: hsv(opposite + between(0.1, 0.3), between(0.3, 0.9), dark ? 0.95 : 0.35),
  };
}

/** The still picture behind the scene: a gradient with clouds or stripes. */
export function paintBackdrop(canvas: Canvas, backdrop: Backdrop, uniform: () => number): void {
  const { width, height, data } = canvas;
  const grid = Array.from({ length: 9 * 9 }, () => uniform() * 2 - 1);
  const ax = Math.cos(backdrop.angle);
  const ay = Math.sin(backdrop.angle);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const x = column / width;
      const y = row / height;
      const along = Math.max(0, Math.min(1, 0.5 + ((x - 0.5) * ax + (y - 0.5) * ay)));
      const waves = Math.sin(2 * Math.PI * backdrop.stripes * (x * ay - y * ax));
      const grain = backdrop.texture * (backdrop.stripes > 0 ? waves : cloud(grid, x * 5, y * 5));
      const at = (row * width + column) * 3;
      for (let c = 0; c < 3; c++) {
        const from = backdrop.from[c] ?? 0;
        const level = from + ((backdrop.to[c] ?? 0) - from) * along + grain;
        data[at + c] = Math.max(0, Math.min(255, level));
      }
    }
  }
}

/** Value noise: a 9 x 9 grid, bilinear with a smooth step. */
function cloud(grid: readonly number[], x: number, y: number): number {
  const column = Math.min(7, Math.floor(x));
  const row = Math.min(7, Math.floor(y));
  const smooth = (v: number): number => v * v * (3 - 2 * v);
  const right = smooth(x - column);
  const down = smooth(y - row);
  const at = (r: number, c: number): number => grid[r * 9 + c] ?? 0;
  const above = at(row, column) * (1 - right) + at(row, column + 1) * right;
  const below = at(row + 1, column) * (1 - right) + at(row + 1, column + 1) * right;
  return above * (1 - down) + below * down;
}
