// SPDX-License-Identifier: Apache-2.0
// A small software canvas for the demo clips: smooth-edged shapes by signed distance, painted into rgb24.
// Coordinates: y runs down from 0 to 1, x right from 0 to width/height; lengths are in picture heights.

export type Color = readonly [red: number, green: number, blue: number];

export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** rgb24 `[height, width, 3]`, 0..255. */
  readonly data: Uint8Array;
}

/** Paints `color` where `distance` (in picture heights, negative inside) says, with a one-pixel soft edge. */
function paint(
  canvas: Canvas,
  bounds: readonly [left: number, top: number, right: number, bottom: number],
  color: Color,
  alpha: number,
  distance: (x: number, y: number) => number,
): void {
  const { width, height, data } = canvas;
  const [left, top, right, bottom] = bounds;
  const firstColumn = Math.max(0, Math.floor(left * height) - 1);
  const lastColumn = Math.min(width - 1, Math.ceil(right * height) + 1);
  const firstRow = Math.max(0, Math.floor(top * height) - 1);
  const lastRow = Math.min(height - 1, Math.ceil(bottom * height) + 1);
  for (let row = firstRow; row <= lastRow; row++) {
    for (let column = firstColumn; column <= lastColumn; column++) {
      const inside = 0.5 - distance((column + 0.5) / height, (row + 0.5) / height) * height;
      if (inside <= 0) continue;
      const share = alpha * Math.min(1, inside);
      const at = (row * width + column) * 3;
      for (let c = 0; c < 3; c++) {
        const below = data[at + c] ?? 0;
        data[at + c] = below + ((color[c] ?? 0) - below) * share;
      }
    }
  }
}

export function disc(
  canvas: Canvas,
  x: number,
  y: number,
  radius: number,
  color: Color,
  alpha: number = 1,
): void {
  const bounds = [x - radius, y - radius, x + radius, y + radius] as const;
  paint(canvas, bounds, color, alpha, (px, py) => Math.hypot(px - x, py - y) - radius);
}

/** An ellipse outline; `flatness` 1 is a circle, 0.3 a ring seen from the side. */
export function ring(
  canvas: Canvas,
  shape: { x: number; y: number; radius: number; thickness: number; flatness?: number },
  color: Color,
  alpha: number = 1,
): void {
  const { x, y, radius, thickness, flatness = 1 } = shape;
  const reach = radius + thickness;
  const bounds = [x - reach, y - reach * flatness, x + reach, y + reach * flatness] as const;
  paint(canvas, bounds, color, alpha, (px, py) => {
    const d = Math.hypot(px - x, (py - y) / flatness) - radius;
    return Math.abs(d) - thickness / 2;
  });
}

/** A thick line with round ends. */
export function line(
  canvas: Canvas,
  ends: readonly [x0: number, y0: number, x1: number, y1: number],
  thickness: number,
  color: Color,
  alpha: number = 1,
): void {
  const [x0, y0, x1, y1] = ends;
  const half = thickness / 2;
  const dx = x1 - x0;
  const dy = y1 - y0;
  const squared = dx * dx + dy * dy || 1;
  const bounds = [
    Math.min(x0, x1) - half,
    Math.min(y0, y1) - half,
    Math.max(x0, x1) + half,
    Math.max(y0, y1) + half,
  ] as const;
  paint(canvas, bounds, color, alpha, (px, py) => {
    const along = Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / squared));
    return Math.hypot(px - x0 - along * dx, py - y0 - along * dy) - half;
  });
}

/** An upright box by its corner and size. */
export function box(
  canvas: Canvas,
  corner: readonly [left: number, top: number, width: number, height: number],
  color: Color,
  alpha: number = 1,
): void {
  const [left, top, width, height] = corner;
  const x = left + width / 2;
  const y = top + height / 2;
  paint(canvas, [left, top, left + width, top + height], color, alpha, (px, py) =>
    Math.max(Math.abs(px - x) - width / 2, Math.abs(py - y) - height / 2),
  );
}

/** A beam of light from a point: a sector of half-angle `spread` (radians) around `angle`, clockwise from right. */
export function beam(
  canvas: Canvas,
  shape: { x: number; y: number; angle: number; spread: number; length: number },
  color: Color,
  alpha: number = 1,
): void {
  const { x, y, angle, spread, length } = shape;
  const bounds = [x - length, y - length, x + length, y + length] as const;
  const ax = Math.cos(angle);
  const ay = Math.sin(angle);
  const slope = Math.tan(spread);
  paint(canvas, bounds, color, alpha, (px, py) => {
    const along = (px - x) * ax + (py - y) * ay;
    const across = Math.abs((py - y) * ax - (px - x) * ay);
    return along < 0 ? 1 : Math.max(across - along * slope, along - length);
  });
}

/** Hue, saturation, value, each 0..1 (hue wraps) to 0..255. */
export function hsv(hue: number, saturation: number, value: number): Color {
  const channel = (offset: number): number => {
    const k = (offset + (hue - Math.floor(hue)) * 6) % 6;
    return 255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}
