// SPDX-License-Identifier: Apache-2.0
import { patchify } from '@diffmavil/audio-spectrogram';
import { makeKey, normals } from '@diffmavil/core';
import { type PatchReconstruction, defineModel, presets, tokenCount } from '@diffmavil/model';
import { describe, expect, it } from 'vitest';
import { reconstructionError } from './reconstruction-errors.ts';

const config = presets.tiny;
const audio = { sampleRate: 16_000, mels: 64, frames: 64, mean: 0, std: 1 };
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Patches of a spectrogram [64, 64] with every token but the first sixteen hidden, predicted as `guess`. */
function made(
  of: (frame: number, mel: number) => number,
  guess: (value: number, i: number) => number,
): PatchReconstruction {
  const grid = { frames: 64, mels: 64, patch: 8 };
  const values = Float32Array.from({ length: 4096 }, (_, i) => of(Math.floor(i / 64), i % 64));
  const original = patchify(values, grid);
  const hidden = Int32Array.from({ length: 48 }, (_, i) => i + 16);
  const prediction = original.map((value, i) => (i < 16 * 64 ? value : guess(value, i)));
  return { original, masked: original, prediction, hidden, path: [] };
}

describe('reconstructionError', () => {
  it('splits the error into bands that add up to it', () => {
    // Visible values are 0, so the flat guess is 0.
    const noise = normals(makeKey(1), 4096).map((value, i) => (i < 1024 ? 0 : value));
    const video = normals(makeKey(2), 32 * 384).map((value, i) => (i < 6 * 384 ? 0 : value));
    const clip: PatchReconstruction = {
      original: video,
      masked: video,
      prediction: video.map((value, i) => (i < 6 * 384 ? value : value * 0.5)),
      hidden: Int32Array.from({ length: 26 }, (_, i) => i + 6),
      path: [],
    };
    const sound = made(
      (frame, mel) => noise[frame * 64 + mel]!,
      (value) => value / 2,
    );
    for (const error of [
      reconstructionError(config, { audio }, 'audio', sound, sound),
      reconstructionError(config, { audio }, 'video', clip, clip),
    ]) {
      const { detail } = error.bands;
      expect(detail.edges).toEqual([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]);
      expect(sum([...detail.oneStep]) / error.mse).toBeCloseTo(1, 5);
      expect(sum([...detail.flat]) / error.flatMse).toBeCloseTo(1, 5);
      expect(detail.sampled).toEqual(detail.oneStep);
      // Half of the noise is shown: a quarter of the power, and a quarter of it left as error.
      for (const [band, flat] of detail.flat.entries()) {
        expect(detail.oneStep[band]! / flat).toBeCloseTo(0.25, 5);
        expect(detail.oneStepPower[band]! / flat).toBeCloseTo(0.25, 5);
      }
    }
  });

  it('finds an error of pitch in its band, with bounds in Hz', () => {
    // Wrong by 2 in mels 40 to 47 only: the sixth of eight bands of 8 mels. Patches are 8 x 8, so column c of the grid is mels 8 c to 8 c + 7.
    const off = made(
      () => 0,
      (_, i) => (Math.floor(i / 64) % 8 === 5 ? 2 : 0),
    );
    const { pitch } = reconstructionError(config, { audio }, 'audio', off, null).bands;
    expect(pitch!.oneStep.map((value) => Number(value.toFixed(6)))).toEqual([
      0, 0, 0, 0, 0, 4, 0, 0,
    ]);
    expect(pitch!.sampled).toBeNull();
    // Kaldi's 64 filters: peak k at mel(20) + (k + 1) d, d = (mel(8000) - mel(20)) / 65; a bound lies half a step before the first peak of a
    // band: 33.93, 2701.09 and 7834.83 Hz in float64.
    expect([pitch!.edges[0], pitch!.edges[5], pitch!.edges[8]]).toEqual([34, 2701, 7835]);
  });

  it('scores in units of the patch where targets are normalised, and bands in those of the values', () => {
    const normalised = defineModel({ ...config, loss: { normalizeTargets: true } });
    const noise = normals(makeKey(3), 4096);
    const sound = made(
      (frame, mel) => 10 * noise[frame * 64 + mel]!,
      () => 0,
    );
    const error = reconstructionError(normalised, { audio }, 'audio', sound, null);
    expect(tokenCount(normalised, 'audio')).toBe(64);
    expect(error.mse).toBeCloseTo(1, 1);
    expect(sum([...error.bands.detail.oneStep])).toBeGreaterThan(80);
  });
});
