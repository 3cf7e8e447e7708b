// SPDX-License-Identifier: Apache-2.0
// Mirror image of a clip. Pre-training flips half of the clips [MAViL §B]: draw once per clip,
// `uniform < 0.5`.
import { checkCounts, checkMultiple } from './errors.ts';
import { channels } from './frames.ts';

/**
 * A mirrored copy: every row of `width` pixels reversed, channels kept in order.
 *
 * @param values [frames, height, width, 3], any scale
 * @returns the same shape and kind of array
 */
export function flipHorizontal<Values extends Uint8Array | Float32Array>(
  values: Values,
  width: number,
): Values {
  checkCounts('flipHorizontal', { width });
  const rowValues = width * channels;
  checkMultiple(
    'flipHorizontal',
    ['the number of values', values.length],
    ['a row of width * 3 =', rowValues],
  );
  const output = values.slice() as Values;
  for (let row = 0; row < values.length; row += rowValues) {
    let from = row + rowValues - channels;
    for (let to = row; to < row + rowValues; to += channels) {
      output[to] = values[from]!;
      output[to + 1] = values[from + 1]!;
      output[to + 2] = values[from + 2]!;
      from -= channels;
    }
  }
  return output;
}
