// SPDX-License-Identifier: Apache-2.0
// Agreement with conformance/golden/video_patchify.py: PyTorch 2.13.0 for pixels and patches, a
// scalar Python program for crop boxes, rational arithmetic for frame indices.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  centerCropBox,
  flipHorizontal,
  imageNetMean,
  imageNetStd,
  normalizeFrames,
  patchify,
  predictedFrameIndices,
  predictedFrames,
  randomResizedCropBox,
  resizeCrop,
  resizeShortSide,
  sampleFrameIndices,
  sampleFrameTimes,
  startSecondsFor,
  unpatchify,
} from './index.ts';

type Values = Uint8Array | Int32Array | Float32Array | Float64Array;
const arrays = { U8: Uint8Array, I32: Int32Array, F32: Float32Array, F64: Float64Array };

/** Tensors of one fixture by name; each carries its shape. */
function readFixture(name: string): (tensor: string) => Values & { shape?: readonly number[] } {
  const folder = new URL('../../../conformance/golden/fixtures/video-patchify/', import.meta.url);
  const bytes = readFileSync(new URL(`${name}.safetensors`, folder));
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { dtype: keyof typeof arrays; shape: number[]; data_offsets: [number, number] }
  >;
  return (tensor) => {
    const entry = header[tensor];
    if (entry === undefined) throw new Error(`fixture ${name} has no tensor ${tensor}`);
    const [from, to] = entry.data_offsets;
    const values = new arrays[entry.dtype](
      new Uint8Array(bytes.subarray(start + from, start + to)).buffer,
    );
    return Object.assign(values, { shape: entry.shape });
  };
}

/** Largest absolute difference; NaN and a difference in length count as infinite. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference;
  }
  return worst;
}

/** `count` rows of `width` numbers. */
function rows(values: Values, width: number): number[][] {
  const all = Array.from(values);
  return Array.from({ length: all.length / width }, (_, i) =>
    all.slice(i * width, (i + 1) * width),
  );
}

// Pixels are 0..255; weights and the first pass are rounded to float32, whose spacing there is
// 1.5e-5.
const pixelTolerance = 6e-5;

describe('resize against torch.nn.functional.interpolate', () => {
  const fixture = readFixture('resize');
  const clip = { data: fixture('clip') as Uint8Array, frames: 2, height: 20, width: 28 };
  const names = [
    'whole_to_8',
    'whole_to_3',
    'whole_to_1',
    'whole_to_24',
    'inner_to_7',
    'corner_to_16',
    'same_size',
    'one_pixel_to_4',
    'strip_to_6',
  ];

  it.each(names)('%s: antialiased and plain bilinear', (name) => {
    const [top, left, height, width, size] = Array.from(fixture(`${name}/box`)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const box = { top, left, height, width };
    const smooth = resizeCrop(clip, box, size);
    expect(distance(smooth, fixture(`${name}/antialias`))).toBeLessThan(pixelTolerance);
    const plain = resizeCrop(clip, box, size, { antialias: false });
    expect(distance(plain, fixture(`${name}/plain`))).toBeLessThan(pixelTolerance);
  });

  it('resizes the short side to 12 and the long side to trunc(12 * 28 / 20) = 16', () => {
    const landscape = resizeShortSide(clip, 12);
    expect([landscape.height, landscape.width]).toEqual([12, 16]);
    const wide = fixture('short_side_12/landscape');
    expect(distance(landscape.data, wide)).toBeLessThan(pixelTolerance);

    const data = new Uint8Array(clip.data.length);
    for (let i = 0; i < data.length; i++) {
      const [frame, y, x, channel] = [
        Math.floor(i / 1680),
        Math.floor(i / 84) % 20,
        Math.floor(i / 3) % 28,
        i % 3,
      ];
      data[((frame * 28 + x) * 20 + y) * 3 + channel] = clip.data[i]!;
    }
    const portrait = resizeShortSide({ data, frames: 2, height: 28, width: 20 }, 12);
    expect([portrait.height, portrait.width]).toEqual([16, 12]);
    expect(distance(portrait.data, fixture('short_side_12/portrait'))).toBeLessThan(pixelTolerance);
  });

  it('normalises with the ImageNet statistics', () => {
    const normal = normalizeFrames(clip.data, imageNetMean, imageNetStd);
    // Both sides round a float64 result once: at most one float32 spacing near 2.6.
    expect(distance(normal, fixture('normalized'))).toBeLessThan(2.4e-7);
  });

  it('flips like torch.flip over the width', () => {
    expect(distance(flipHorizontal(clip.data, 28), fixture('flipped'))).toBe(0);
  });
});

describe('patches against one-hot conv3d kernels', () => {
  const fixture = readFixture('patches');
  const cases = [
    { name: 'small', predict: [2, 4] },
    { name: 'one_frame', predict: [1] },
    { name: 'one_token', predict: [1, 2] },
    { name: 'sixteen', predict: [8, 16] },
    { name: 'long_tubelet', predict: [3, 6, 12] },
  ];

  it.each(cases)('$name: patches, frames again, and predicted frames', ({ name, predict }) => {
    const [frames = 0, size = 0, tubelet = 0, patch = 0] = fixture(`${name}/grid`);
    const values = fixture(`${name}/values`) as Float32Array;
    const patches = patchify(values, { frames, size, tubelet, patch });
    expect(distance(patches, fixture(`${name}/patches`))).toBe(0);
    expect(distance(unpatchify(patches, { frames, size, tubelet, patch }), values)).toBe(0);
    for (const predictFrames of predict) {
      const indices = predictedFrameIndices(frames, predictFrames);
      expect(Array.from(indices)).toEqual(Array.from(fixture(`${name}/kept_${predictFrames}`)));
      const kept = predictedFrames(patches, { frames, tubelet, patch, predictFrames });
      expect(distance(kept, fixture(`${name}/predicted_${predictFrames}`))).toBe(0);
    }
  });
});

describe('crop boxes against the reference program', () => {
  const fixture = readFixture('crops');

  it('draws the same 128 random resized crops from the same uniforms', () => {
    const settings = rows(fixture('settings'), 6);
    const streams = rows(fixture('uniforms'), 22);
    const boxes = rows(fixture('boxes'), 5);
    expect(settings.length).toBe(128);
    settings.forEach(([height = 0, width = 0, small = 0, large = 0, tall = 0, wide = 0], i) => {
      let used = 0;
      const options = {
        height,
        width,
        scale: [small, large],
        ratio: [tall, wide],
      } as const;
      const box = randomResizedCropBox(options, () => streams[i]![used++]!);
      expect([box.top, box.left, box.height, box.width, used]).toEqual(boxes[i]);
    });
  });

  it('centres a square like torchvision', () => {
    for (const [height = 0, width = 0, size = 0, top, left] of rows(fixture('centers'), 5)) {
      const expected = { top, left, height: size, width: size };
      expect(centerCropBox({ height, width, size })).toEqual(expected);
    }
  });
});

describe('frame indices against rational arithmetic', () => {
  it('takes the frame on screen at each of 336 sampled stretches', () => {
    const fixture = readFixture('sampling');
    const indices = rows(fixture('indices'), 16);
    const cases = rows(fixture('cases'), 6);
    expect(cases.length).toBe(336);
    cases.forEach((row, i) => {
      const [
        available = 0,
        frameRate = 0,
        frames = 0,
        durationSeconds = 0,
        uniform = 0,
        start = 0,
      ] = row;
      const span = { available, frameRate, durationSeconds };
      const sampling = { ...span, frames, startUniform: uniform };
      const expected = indices[i]!.slice(0, frames);
      expect(Array.from(sampleFrameIndices(sampling))).toEqual(expected);
      expect(startSecondsFor(span, uniform)).toBeCloseTo(start, 12);
      expect(sampleFrameTimes(sampling)[0]).toBeCloseTo(start, 12);
      const given = sampleFrameIndices({ ...span, frames, startSeconds: start });
      expect(Array.from(given)).toEqual(expected);
    });
  });
});
