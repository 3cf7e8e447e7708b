// SPDX-License-Identifier: Apache-2.0
// Pixels 0..255 to the model's scale and back, per channel: (x / 255 - mean) / std.
import { checkMultiple, VideoError } from './errors.ts';
import { channels } from './frames.ts';

/** One figure per channel: red, green, blue; pixels on a 0..1 scale. */
export type PerChannel = readonly [red: number, green: number, blue: number];

/** ImageNet statistics, used by MAViL and CAV-MAE. */
export const imageNetMean: PerChannel = [0.485, 0.456, 0.406];
/** ImageNet statistics, used by MAViL and CAV-MAE. */
export const imageNetStd: PerChannel = [0.229, 0.224, 0.225];

/**
 * (x / 255 - mean) / std per channel.
 *
 * @param values [..., 3], 0..255
 * @returns a new float32 array of the same shape, computed in float64 and rounded once
 */
export function normalizeFrames(
  values: Uint8Array | Float32Array,
  mean: PerChannel,
  std: PerChannel,
): Float32Array {
  check('normalizeFrames', values.length, mean, std);
  const scale = std.map((deviation) => 1 / (255 * deviation)) as [number, number, number];
  const offset = mean.map((average, channel) => -average / std[channel]!) as typeof scale;
  return affine(values, scale, offset);
}

/**
 * The inverse of `normalizeFrames`: (x * std + mean) * 255, neither clamped nor rounded
 * (`new Uint8ClampedArray(…)` does both).
 */
export function denormalizeFrames(
  values: Float32Array,
  mean: PerChannel,
  std: PerChannel,
): Float32Array {
  check('denormalizeFrames', values.length, mean, std);
  const scale = std.map((deviation) => 255 * deviation) as [number, number, number];
  const offset = mean.map((average) => 255 * average) as typeof scale;
  return affine(values, scale, offset);
}

function affine(
  values: Uint8Array | Float32Array,
  [redScale, greenScale, blueScale]: PerChannel,
  [redOffset, greenOffset, blueOffset]: PerChannel,
): Float32Array {
  const output = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += channels) {
    output[i] = values[i]! * redScale + redOffset;
    output[i + 1] = values[i + 1]! * greenScale + greenOffset;
    output[i + 2] = values[i + 2]! * blueScale + blueOffset;
  }
  return output;
}

function check(where: string, length: number, mean: PerChannel, std: PerChannel): void {
  checkMultiple(where, ['the number of values', length], ['channels', channels]);
  if (mean.length !== channels || !mean.every((value) => Number.isFinite(value))) {
    throw new VideoError(
      'Shape',
      `${where}: expected mean to be 3 finite numbers, got [${mean.join(', ')}]`,
    );
  }
  if (std.length !== channels || !std.every((value) => value > 0 && value < Infinity)) {
    throw new VideoError(
      'Shape',
      `${where}: expected std to be 3 finite numbers > 0, got [${std.join(', ')}]`,
    );
  }
}
