// SPDX-License-Identifier: Apache-2.0
// Crop and bilinear resize of whole clips: two separable passes over flat arrays with weights
// computed once, nothing allocated per frame or pixel. The crop comes first, so pixels outside the
// box are never read.
import { checkCounts } from './errors.ts';
import { channels, checkBox, checkFrames } from './frames.ts';
import type { Box, Frames } from './frames.ts';
import { axisWeights } from './resample-weights.ts';
import type { AxisWeights } from './resample-weights.ts';

/** `antialias` (default true): when shrinking, average over the pixels each new one covers. */
export interface ResizeOptions {
  readonly antialias?: boolean;
}

/** Frames whose pixels are float32, 0..255. */
export interface FloatFrames extends Frames {
  readonly data: Float32Array;
}

/**
 * Crops `box` from every frame and resizes it to `size` x `size`: bilinear, align_corners = false,
 * and by default antialiased when shrinking (triangle filter scaled by the shrink factor, as Pillow
 * does).
 *
 * @returns [frames, size, size, 3], float32 in 0..255, not rounded
 * @throws VideoError (Shape) when the data does not fit its sizes or the box leaves the frame
 */
export function resizeCrop(
  frames: Frames,
  box: Box,
  size: number,
  options: ResizeOptions = {},
): Float32Array {
  checkFrames('resizeCrop', frames);
  checkBox('resizeCrop', box, frames);
  checkCounts('resizeCrop', { size });
  return resample(frames, box, size, size, options);
}

/**
 * Resizes whole frames so that the shorter side is `shortSide` pixels and the longer one
 * trunc(shortSide * long / short), as torchvision does; the same filter as `resizeCrop`.
 */
export function resizeShortSide(
  frames: Frames,
  shortSide: number,
  options: ResizeOptions = {},
): FloatFrames {
  checkFrames('resizeShortSide', frames);
  checkCounts('resizeShortSide', { shortSide });
  const { height, width } = frames;
  const short = Math.min(height, width);
  const newHeight = Math.floor((shortSide * height) / short);
  const newWidth = Math.floor((shortSide * width) / short);
  const box = { top: 0, left: 0, height, width };
  const data = resample(frames, box, newHeight, newWidth, options);
  return { data, frames: frames.frames, height: newHeight, width: newWidth };
}

function resample(
  source: Frames,
  box: Box,
  height: number,
  width: number,
  { antialias = true }: ResizeOptions,
): Float32Array {
  const columns = axisWeights(box.width, width, antialias);
  const rows = axisWeights(box.height, height, antialias);
  const narrowed = new Float32Array(box.height * width * channels);
  const output = new Float32Array(source.frames * height * width * channels);
  const rowValues = source.width * channels;
  const frameValues = source.height * rowValues;
  for (let frame = 0; frame < source.frames; frame++) {
    const corner = frame * frameValues + box.top * rowValues + box.left * channels;
    resizeColumns(source.data, corner, rowValues, columns, narrowed, box.height);
    resizeRows(narrowed, rows, width * channels, output, frame * height * width * channels);
  }
  return output;
}

/** Each of `height` rows, from `corner` on and `rowValues` apart, to one row of `output`. */
function resizeColumns(
  input: Uint8Array | Float32Array,
  corner: number,
  rowValues: number,
  { taps, starts, counts, weights }: AxisWeights,
  output: Float32Array,
  height: number,
): void {
  const width = starts.length;
  let to = 0;
  for (let row = 0; row < height; row++) {
    const rowStart = corner + row * rowValues;
    for (let column = 0; column < width; column++) {
      const weightEnd = column * taps + counts[column]!;
      let from = rowStart + starts[column]! * channels;
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let tap = column * taps; tap < weightEnd; tap++) {
        const weight = weights[tap]!;
        red += weight * input[from]!;
        green += weight * input[from + 1]!;
        blue += weight * input[from + 2]!;
        from += channels;
      }
      output[to] = red;
      output[to + 1] = green;
      output[to + 2] = blue;
      to += channels;
    }
  }
}

/** Mixes whole rows of `input` into rows of `output` from `outputStart` on, two at a time. */
function resizeRows(
  input: Float32Array,
  { taps, starts, counts, weights }: AxisWeights,
  rowValues: number,
  output: Float32Array,
  outputStart: number,
): void {
  for (let row = 0; row < starts.length; row++) {
    const to = outputStart + row * rowValues;
    for (let tap = 0; tap < counts[row]!; tap += 2) {
      const first = weights[row * taps + tap]!;
      const second = tap + 1 < counts[row]! ? weights[row * taps + tap + 1]! : 0;
      const from = (starts[row]! + tap) * rowValues;
      // A single last row is added to itself with weight 0.
      const next = second === 0 ? from : from + rowValues;
      if (tap === 0) {
        for (let i = 0; i < rowValues; i++) {
          output[to + i] = first * input[from + i]! + second * input[next + i]!;
        }
      } else {
        for (let i = 0; i < rowValues; i++) {
          output[to + i]! += first * input[from + i]! + second * input[next + i]!;
        }
      }
    }
  }
}
