// SPDX-License-Identifier: Apache-2.0
// What a piece of video is here: frames in one flat array, three channels per pixel, channel
// fastest.
import { checkCounts, checkLength, VideoError } from './errors.ts';

/** Channels of a pixel: red, green, blue. */
export const channels = 3;

/** Decoded frames: `data` is [frames, height, width, 3], row-major, pixels 0..255. */
export interface Frames {
  readonly data: Uint8Array | Float32Array;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/** A rectangle of whole pixels inside a frame. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Throws unless `data` has the length its sizes promise. */
export function checkFrames(where: string, { data, frames, height, width }: Frames): void {
  checkCounts(where, { frames, height, width });
  checkLength(where, data.length, [
    ['frames', frames],
    ['height', height],
    ['width', width],
    ['channels', channels],
  ]);
}

/** Throws unless the box lies on whole pixels inside the frame. */
export function checkBox(
  where: string,
  box: Box,
  frame: { readonly height: number; readonly width: number },
): void {
  checkCounts(where, { 'box.height': box.height, 'box.width': box.width });
  const { top, left, height, width } = box;
  const inside =
    Number.isSafeInteger(top) &&
    Number.isSafeInteger(left) &&
    top >= 0 &&
    left >= 0 &&
    top + height <= frame.height &&
    left + width <= frame.width;
  if (!inside) {
    throw new VideoError(
      'Shape',
      `${where}: expected a box inside a ${frame.height}x${frame.width} frame, ` +
        `got ${height}x${width} at (${top}, ${left})`,
    );
  }
}
