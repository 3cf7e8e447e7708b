// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import type { AudioAugmentation } from './audio-patches.ts';
import { audioPatches } from './audio-patches.ts';
import { mixWaveforms, rollWaveform } from './augment.ts';
import { logMel } from './log-mel.ts';
import { resample } from './resample.ts';
import { audioDatasets, normalize, padOrCut, patchify } from './spectrogram.ts';

const grid = { frames: 112, mels: 64, patch: 16 };
const { mean, std } = audioDatasets.audioset;

function stream(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    return state / 2 ** 31;
  };
}

const noise = stream(9);
const clip = new Float32Array(16_000).map(() => 0.2 * noise() - 0.1);

it('is the chain of its steps, with nothing augmented by default', () => {
  const mel = padOrCut(logMel(clip, { mels: 64 }), 112);
  const expected = patchify(normalize(mel, mean, std).values, grid);
  expect(audioPatches(clip, 16_000, { ...grid, mean, std })).toEqual(expected);
});

it('resamples a clip of another rate first', () => {
  const expected = audioPatches(resample(clip, 44_100, 16_000), 16_000, { ...grid, mean, std });
  expect(audioPatches(clip, 44_100, { ...grid, mean, std })).toEqual(expected);
});

it('makes 512 tokens of 256 values unless told otherwise', () => {
  expect(audioPatches(clip, 16_000, { mean, std })).toHaveLength(512 * 256);
});

const augmentations: [string, AudioAugmentation][] = [
  ['roll', { roll: true }],
  ['gain', { gain: true }],
  ['specAugment', { specAugment: { time: 48, frequency: 24 } }],
  ['uniform noise', { noise: { kind: 'uniform', peak: 0.1 } }],
  ['gaussian noise', { noise: { kind: 'gaussian', snrDecibels: 20 } }],
  ['frame roll', { frameRoll: 10 }],
];

it.each(augmentations)('%s changes the patches, and by the draws alone', (_, augmentation) => {
  const options = { ...grid, mean, std, augmentation };
  const plain = audioPatches(clip, 16_000, { ...grid, mean, std });
  const once = audioPatches(clip, 16_000, options, stream(5));
  expect(once).not.toEqual(plain);
  expect(audioPatches(clip, 16_000, options, stream(5))).toEqual(once);
  expect(audioPatches(clip, 16_000, options, stream(6))).not.toEqual(once);
});

it('shifts every log-mel by the logarithm of the gain', () => {
  // All 19 draws 0.75: gain 1.25, so each energy grows by 1.25^2 unless it is floored.
  const options = { ...grid, mean: 0, std: 0.5, augmentation: { gain: true } };
  const louder = audioPatches(clip, 16_000, options, () => 0.75);
  const plain = audioPatches(clip, 16_000, { ...grid, mean: 0, std: 0.5 });
  const raised = louder.filter(
    (value, i) => Math.abs(value - plain[i]! - 2 * Math.log(1.25)) < 1e-5,
  );
  const still = louder.filter((value, i) => value === plain[i]);
  expect(raised.length + still.length).toBe(112 * 64);
  expect(raised.length).toBeGreaterThan(98 * 60);
});

it('mixes another clip in before the log-mel, each brought to the rate and rolled by itself', () => {
  const other = clip.map((value, i) => (i % 3 === 0 ? value : -value));
  const options = { ...grid, mean, std };
  const mixup = { waveform: other, sampleRate: 16_000, weight: 0.3 };
  expect(audioPatches(clip, 16_000, { ...options, mixup })).toEqual(
    audioPatches(mixWaveforms(clip, other, 0.3), 16_000, options),
  );
  // A weight of 1 leaves the clip, its mean removed twice.
  const alone = audioPatches(clip, 16_000, { ...options, mixup: { ...mixup, weight: 1 } });
  expect(
    Math.max(...alone.map((x, i) => Math.abs(x - audioPatches(clip, 16_000, options)[i]!))),
  ).toBeLessThan(0.05);
  const draws = [0.25, 0.5];
  const rolled = audioPatches(
    clip,
    16_000,
    { ...options, mixup, augmentation: { roll: true } },
    () => draws.shift()!,
  );
  const [first, second] = [
    rollWaveform(clip, clip.length / 4),
    rollWaveform(other, other.length / 2),
  ];
  expect(rolled).toEqual(audioPatches(mixWaveforms(first, second, 0.3), 16_000, options));
});

it('refuses augmentation without draws, and a clip that is too short', () => {
  const options = { ...grid, mean, std };
  expect(() => audioPatches(clip, 16_000, { ...options, augmentation: { frameRoll: 10 } })).toThrow(
    expect.objectContaining({
      name: 'AudioError',
      kind: 'Config',
      message:
        'audioPatches: expected a stream of draws with options.augmentation, got none. ' +
        'Try: pass uniform, a function returning numbers in [0, 1)',
    }),
  );
  const roll = { ...options, augmentation: { roll: true } };
  expect(() => audioPatches(new Float32Array(0), 16_000, roll, stream(1))).toThrow(
    'logMel: expected at least 400 samples (25 ms at 16000 Hz), got 0',
  );
});
