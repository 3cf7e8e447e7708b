// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';

import {
  inflatedKernel,
  interleavedTable,
  monoKernel,
  reshaped,
  resizedTable,
  separableTable,
  timeMajorTable,
  transposed,
  tubeletKernel,
} from './arrays.ts';
import type { Values } from './arrays.ts';

const counting = (...shape: number[]): Values => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((p, n) => p * n, 1) }, (_, i) => i),
});
/** Inner product of a kernel's row and a patch. */
const applied = (kernel: Values, patch: ArrayLike<number>): number =>
  kernel.data.reduce((sum, weight, i) => sum + weight * (patch[i] ?? Number.NaN), 0);

describe('transposed', () => {
  it('moves axes as NumPy does', () => {
    const { shape, data } = transposed(counting(2, 3, 4), [2, 0, 1]);
    expect(shape).toEqual([4, 2, 3]);
    // numpy: arange(24).reshape(2, 3, 4).transpose(2, 0, 1).ravel()[:8]
    expect([...data.subarray(0, 8)]).toEqual([0, 4, 8, 12, 16, 20, 1, 5]);
  });

  it('is refused another size by reshaped', () => {
    expect(() => reshaped(counting(6), 2, 2)).toThrow('interop: expected 4 values, got 6');
  });
});

describe('kernels', () => {
  it('read patches in the order frame, row, column, channel', () => {
    // One output, channel c of frame t at row y, column x weighs 1000 c + 100 t + 10 y + x.
    const kernel: Values = {
      shape: [1, 3, 2, 2, 2],
      data: Float32Array.from({ length: 24 }, (_, i) => {
        const [c, t, y, x] = [i >> 3, (i >> 2) & 1, (i >> 1) & 1, i & 1];
        return 1000 * c + 100 * t + 10 * y + x;
      }),
    };
    const { shape, data } = tubeletKernel(kernel);
    expect(shape).toEqual([1, 24]);
    const at = (t: number, y: number, x: number, c: number): number | undefined =>
      data[((t * 2 + y) * 2 + x) * 3 + c];
    expect(at(1, 0, 1, 2)).toBe(2101);
    expect(at(0, 1, 0, 1)).toBe(1010);
  });

  it('give a still picture what the image kernel gave it, averaged or in the middle frame', () => {
    const image = counting(1, 3, 2, 2);
    const still = [0.5, -1, 2, 0.25, 3, 1, -2, 0, 1, 4, -0.5, 2];
    const expected = applied(image, still);
    for (const inflation of ['average', 'central'] as const) {
      const inflated = inflatedKernel(image, 2, inflation);
      expect(inflated.shape).toEqual([1, 3, 2, 2, 2]);
      // [channel][frame][plane]: each channel's picture twice.
      const repeated = [0, 1, 2].flatMap((c) => {
        const plane = still.slice(4 * c, 4 * c + 4);
        return [...plane, ...plane];
      });
      expect(applied(inflated, repeated)).toBe(expected);
    }
    expect([...inflatedKernel(counting(1, 1, 1, 2), 2, 'central').data]).toEqual([0, 0, 0, 1]);
    expect([...inflatedKernel(counting(1, 1, 1, 2), 2, 'average').data]).toEqual([0, 0.5, 0, 0.5]);
  });

  it('give grey what the three colours gave it', () => {
    const image = counting(2, 3, 2, 2);
    const grey = [1, -2, 0.5, 3];
    const [out] = [monoKernel(image)];
    expect(out.shape).toEqual([2, 1, 2, 2]);
    const first: Values = { shape: [4], data: out.data.subarray(0, 4) };
    const colours: Values = { shape: [12], data: image.data.subarray(0, 12) };
    expect(applied(first, grey)).toBe(applied(colours, [...grey, ...grey, ...grey]));
  });
});

describe('tables', () => {
  it('turn from frequency-major to time-major', () => {
    // 2 frequencies x 3 times of width 1.
    const { shape, data } = timeMajorTable(counting(1, 6, 1), 2, 3);
    expect(shape).toEqual([1, 6, 1]);
    expect([...data]).toEqual([0, 3, 1, 4, 2, 5]);
  });

  it('add space and time', () => {
    const spatial: Values = { shape: [1, 2, 1], data: Float32Array.of(1, 2) };
    const temporal: Values = { shape: [1, 3, 1], data: Float32Array.of(10, 20, 30) };
    expect([...separableTable(spatial, temporal).data]).toEqual([11, 12, 21, 22, 31, 32]);
  });

  it("are VideoMAE's: even columns sines, odd ones cosines of the same angle", () => {
    const { data } = interleavedTable(3, 4);
    const expected = [2, 2 / 100].flatMap((angle) => [Math.sin(angle), Math.cos(angle)]);
    for (const [i, value] of expected.entries()) expect(data[8 + i]).toBeCloseTo(value, 6);
  });

  it('keep a constant when resized, and a grid of the same size as it is', () => {
    const constant: Values = { shape: [1, 9, 2], data: new Float32Array(18).fill(0.75) };
    const { shape, data } = resizedTable(constant, [3, 3], [5, 2]);
    expect(shape).toEqual([1, 10, 2]);
    for (const value of data) expect(value).toBeCloseTo(0.75, 6);
    expect(resizedTable(constant, [3, 3], [3, 3])).toBe(constant);
  });

  it('are halved as torch.nn.functional.interpolate(bicubic) does', () => {
    // torch 2.13: interpolate([[[[0, 1, 2, 4]]]], size=(1, 2), mode='bicubic') = 0.4062, 3.0938
    const row: Values = { shape: [1, 4, 1], data: Float32Array.of(0, 1, 2, 4) };
    expect([...resizedTable(row, [1, 4], [1, 2]).data]).toEqual([0.40625, 3.09375]);
  });
});
