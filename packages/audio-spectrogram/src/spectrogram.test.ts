// SPDX-License-Identifier: Apache-2.0
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logMel, logMelFloor } from './log-mel.ts';
import {
  audioDatasets,
  denormalize,
  normalize,
  padOrCut,
  patchify,
  unpatchify,
} from './spectrogram.ts';

const { mean, std } = audioDatasets.audioset;

function ramp(frames: number, mels: number): Float32Array {
  return Float32Array.from({ length: frames * mels }, (_, i) => i);
}

describe('padOrCut', () => {
  it('appends rows of 0.0 to raw log-mel', () => {
    const mel = logMel(new Float32Array(16_000), { mels: 64 });
    const padded = padOrCut(mel, 112);
    expect([padded.frames, padded.mels, padded.values.length]).toEqual([112, 64, 112 * 64]);
    expect(padded.values.subarray(0, 98 * 64).every((v) => v === logMelFloor)).toBe(true);
    expect(padded.values.subarray(98 * 64).every((v) => v === 0)).toBe(true);
  });

  it('keeps the first rows', () => {
    const cut = padOrCut({ values: ramp(5, 4), frames: 5, mels: 4 }, 2);
    expect(cut).toEqual({ values: ramp(2, 4), frames: 2, mels: 4 });
  });

  it('refuses a bad count and values of another size', () => {
    const mel = { values: ramp(5, 4), frames: 5, mels: 4 };
    expect(() => padOrCut(mel, 0)).toThrow(
      expect.objectContaining({
        kind: 'Config',
        message: 'padOrCut: frames: expected a whole number >= 1, got 0',
      }),
    );
    expect(() => padOrCut({ ...mel, frames: 6 }, 6)).toThrow(
      expect.objectContaining({
        kind: 'Shape',
        message: 'padOrCut: expected [frames, mels] = [6, 4], 24 values, got 20',
      }),
    );
  });
});

describe('normalize', () => {
  it('puts padding at +0.46703 and silence at -1.27759 with the AudioSet figures', () => {
    // (0 + 4.2677393) / (2 x 4.5689974) and (log 2^-23 + 4.2677393) / (2 x 4.5689974).
    const [padding, silence] = normalize(Float32Array.of(0, logMelFloor), mean, std);
    expect(padding).toBeCloseTo(0.46703, 5);
    expect(silence).toBeCloseTo(-1.27759, 5);
  });

  it('is undone by denormalize, for a spectrogram and for bare values', () => {
    const mel = { values: ramp(3, 4), frames: 3, mels: 4 };
    const back = denormalize(normalize(mel, mean, std), mean, std);
    expect([back.frames, back.mels]).toEqual([3, 4]);
    const errors = back.values.map((value, i) => Math.abs(value - i));
    expect(Math.max(...errors)).toBeLessThan(2e-6);
    expect(denormalize(normalize(mel.values, mean, std), mean, std)).toEqual(back.values);
  });

  it.each([
    [Number.NaN, 1, 'normalize: mean: expected a finite number, got NaN'],
    [0, 0, 'normalize: std: expected a finite number > 0, got 0'],
    [0, Infinity, 'normalize: std: expected a finite number > 0, got Infinity'],
  ])('refuses mean %d and std %d', (badMean, badStd, message) => {
    expect(() => normalize(new Float32Array(1), badMean, badStd)).toThrow(
      expect.objectContaining({ kind: 'Config', message }),
    );
  });
});

describe('patchify', () => {
  it('orders tokens by time, then frequency, and values by row, then column', () => {
    // A 4 x 6 spectrogram in 2 x 2 patches: 2 x 3 tokens.
    const patches = patchify(ramp(4, 6), { frames: 4, mels: 6, patch: 2 });
    expect([...patches]).toEqual(
      [
        [0, 1, 6, 7],
        [2, 3, 8, 9],
        [4, 5, 10, 11],
        [12, 13, 18, 19],
        [14, 15, 20, 21],
        [16, 17, 22, 23],
      ].flat(),
    );
  });

  it('makes 512 tokens of 256 values from 1024 x 128, token t * 8 + f', () => {
    const values = ramp(1024, 128);
    const patches = patchify(values, { frames: 1024, mels: 128, patch: 16 });
    const [t, f, row, column] = [37, 5, 11, 3];
    const expected = values[(t * 16 + row) * 128 + f * 16 + column];
    expect(patches[(t * 8 + f) * 256 + row * 16 + column]).toBe(expected);
  });

  it('cuts overlapping patches where the stride is shorter, leaving out what does not fill one', () => {
    // A 5 x 4 spectrogram, 2 x 2 patches one apart: 4 x 3 tokens; token (t, f) starts at row t, column f.
    const patches = patchify(ramp(5, 4), { frames: 5, mels: 4, patch: 2, stride: 1 });
    expect(patches.length).toBe(4 * 3 * 4);
    expect([...patches.subarray(0, 8)]).toEqual([0, 1, 4, 5, 1, 2, 5, 6]);
    expect([...patches.subarray(-4)]).toEqual([14, 15, 18, 19]);
    const wide = patchify(ramp(5, 7), { frames: 5, mels: 7, patch: 2, stride: 3 });
    expect([...wide]).toEqual([0, 1, 7, 8, 3, 4, 10, 11, 21, 22, 28, 29, 24, 25, 31, 32]);
  });

  it("makes AST's 101 x 12 tokens from 1024 x 128 at patch 16, stride 10", () => {
    const values = ramp(1024, 128);
    const patches = patchify(values, { frames: 1024, mels: 128, patch: 16, stride: 10 });
    expect(patches.length).toBe(1212 * 256);
    const [t, f, row, column] = [37, 5, 11, 3];
    const expected = values[(t * 10 + row) * 128 + f * 10 + column];
    expect(patches[(t * 12 + f) * 256 + row * 16 + column]).toBe(expected);
  });

  it('refuses a stride below 1 and a side shorter than the patch', () => {
    const values = new Float32Array(24);
    expect(() => patchify(values, { frames: 4, mels: 6, patch: 2, stride: 0 })).toThrow(
      'patchify: stride: expected a whole number >= 1, got 0',
    );
    expect(() => patchify(values, { frames: 4, mels: 6, patch: 5, stride: 1 })).toThrow(
      'patchify: frames: expected a whole number >= 5, got 4',
    );
  });

  it('is undone exactly by unpatchify, for any grid and any bits', () => {
    const grids = fc.record({
      rows: fc.integer({ min: 1, max: 6 }),
      columns: fc.integer({ min: 1, max: 6 }),
      patch: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(grids, fc.infiniteStream(fc.float()), ({ rows, columns, patch }, stream) => {
        const grid = { frames: rows * patch, mels: columns * patch, patch };
        const values = new Float32Array(grid.frames * grid.mels).map(() => stream.next().value);
        expect(unpatchify(patchify(values, grid), grid)).toEqual(values);
        expect(patchify(unpatchify(values, grid), grid)).toEqual(values);
      }),
      { seed: 20_231_005, numRuns: 100 },
    );
  });

  it('refuses sides that are no multiple of the patch and values of another size', () => {
    const values = new Float32Array(24);
    expect(() => patchify(values, { frames: 4, mels: 6, patch: 4 })).toThrow(
      expect.objectContaining({
        kind: 'Config',
        message: 'patchify: mels: expected a multiple of patch 4, got 6',
      }),
    );
    expect(() => patchify(values, { frames: 4, mels: 8, patch: 2 })).toThrow(
      expect.objectContaining({
        kind: 'Shape',
        message: 'patchify: expected [frames, mels] = [4, 8], 32 values, got 24',
      }),
    );
    expect(() => unpatchify(values, { frames: 4, mels: 8, patch: 2 })).toThrow(
      expect.objectContaining({
        kind: 'Shape',
        message: 'unpatchify: expected [tokens, patchValues] = [8, 4], 32 values, got 24',
      }),
    );
    expect(() => unpatchify(values, { frames: 4, mels: 6, patch: 0.5 })).toThrow(
      'unpatchify: patch: expected a whole number >= 1, got 0.5',
    );
  });
});
