// SPDX-License-Identifier: Apache-2.0
import { disposeTree, makeKey, normals, uniforms } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel, tokenCount } from './config.ts';
import type { PartialModelConfig } from './config.ts';
import { DiffMavil } from './diffmavil.ts';
import type { AudioClip, VideoClip } from './diffmavil.ts';
import { clipAudioPatches, clipVideoPatches } from './input-patches.ts';
import { initializeClassifier, initializeHead, initializeParameters } from './parameters.ts';
import { defaultPreprocessor } from './preprocessor.ts';
import { presets } from './presets.ts';

beforeAll(devices[0]!.use);

const sound: AudioClip = {
  waveform: normals(makeKey(1), 16000).map((x) => x / 10),
  sampleRate: 16000,
};
const pictures: VideoClip = {
  frames: {
    data: Uint8Array.from(uniforms(makeKey(2), 10 * 40 * 48 * 3), (u) => u * 256),
    frames: 10,
    height: 40,
    width: 48,
  },
  frameRate: 5,
};
const build = (change: PartialModelConfig = {}): DiffMavil => {
  const config = defineModel({ ...presets.tiny, ...change });
  return DiffMavil.fromParameters({ config, parameters: initializeParameters(config, makeKey(1)) });
};

describe('DiffMavil', () => {
  it('embeds sound and pictures as vectors of the encoder width', async () => {
    await expectNoLeak(async () => {
      const model = build();
      const audio = await model.embedAudio(sound.waveform, sound.sampleRate);
      const video = await model.embedVideo(pictures.frames, pictures.frameRate);
      expect([audio.length, video.length]).toEqual([24, 24]);
      expect([...audio, ...video].every(Number.isFinite)).toBe(true);
      // Mean of layer-normalised tokens: the width's mean is nought.
      expect(Math.abs(audio.reduce((sum, x) => sum + x, 0))).toBeLessThan(1e-4);
      model.dispose();
    });
  });

  it('embeds sound at any rate much alike', async () => {
    const model = build();
    const tone = (rate: number): Float32Array =>
      Float32Array.from({ length: rate }, (_, i) => 0.3 * Math.sin((2 * Math.PI * 440 * i) / rate));
    const [at16, at44] = [
      await model.embedAudio(tone(16000), 16000),
      await model.embedAudio(tone(44100), 44100),
    ];
    const dot = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
    expect(dot(at16, at44) / Math.sqrt(dot(at16, at16) * dot(at44, at44))).toBeGreaterThan(0.95);
    model.dispose();
  });

  it('classifies with the head of the clip, probabilities in falling order', async () => {
    await expectNoLeak(async () => {
      const config = presets.tiny;
      const labels = ['bell', 'dog', 'rain'];
      const parameters = {
        ...initializeParameters(config, makeKey(1)),
        ...initializeHead(config, 'audio', 3, makeKey(2)),
      };
      const preprocessor = {
        ...defaultPreprocessor(config),
        labels,
        task: 'single-label' as const,
      };
      const model = DiffMavil.fromParameters({ config, parameters, preprocessor });
      const classes = await model.classify(sound);
      expect(classes.map(({ label }) => label).toSorted()).toEqual(labels);
      expect(classes.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
      expect(classes[0]!.score).toBeGreaterThanOrEqual(classes[2]!.score);
      expect(await model.classify(sound, { top: 1 })).toEqual(classes.slice(0, 1));
      await expect(model.classify(pictures)).rejects.toThrow(
        'classify: expected a model with a classification head for video, got one without. Try: fine-tune it first',
      );
      model.dispose();
    });
  });

  it('classifies sound and pictures together with the head of both', async () => {
    await expectNoLeak(async () => {
      const config = presets.tiny;
      const labels = ['bell', 'dog'];
      const parameters = initializeClassifier(config, 'both', 2, makeKey(1));
      disposeTree(parameters['av_head.linear.bias']);
      parameters['av_head.linear.bias'] = tf.tensor1d([1, 3]);
      const preprocessor = { ...defaultPreprocessor(config), labels, task: 'multi-label' as const };
      const model = DiffMavil.fromParameters({ config, parameters, preprocessor });
      const [first, second] = await model.classify({ ...sound, ...pictures });
      // The head's weights are near nought, so the scores are the sigmoids of its bias: 0.9526 and 0.7311.
      expect([first!.label, second!.label]).toEqual(['dog', 'bell']);
      expect(first!.score).toBeCloseTo(1 / (1 + Math.exp(-3)), 3);
      expect(second!.score).toBeCloseTo(1 / (1 + Math.exp(-1)), 3);
      await expect(model.classify(sound)).rejects.toThrow(
        'classify: expected a model with a classification head for audio, got one without. Try: fine-tune it first',
      );
      model.dispose();
    });
  });

  it('reconstructs a clip: the shown part untouched, the hidden part predicted', async () => {
    await expectNoLeak(async () => {
      const model = build();
      const { audio, video } = await model.reconstruct({ ...sound, ...pictures }, { seed: 3 });
      expect([audio!.frames, audio!.mels, audio!.prediction.length]).toEqual([64, 64, 64 * 64]);
      expect([video!.frames, video!.size, video!.prediction.length]).toEqual([
        4,
        32,
        4 * 32 * 32 * 3,
      ]);
      const same = [...audio!.original].filter((x, i) => x === audio!.prediction[i]).length;
      expect(same).toBe(12 * 64);
      const blank = [...audio!.masked].filter((x) => Math.abs(x - -4.2677393) < 1e-5).length;
      expect(blank).toBeGreaterThanOrEqual(52 * 64);
      model.dispose();
    });
  });

  it('shows the original as the preprocessor saw it', async () => {
    const model = build();
    const { audio } = await model.reconstruct(sound);
    const { mean, std } = model.preprocessor.audio!;
    const patches = clipAudioPatches(model, sound);
    const sums = (values: Float32Array): number =>
      values.reduce((sum, x) => sum + x, 0) / values.length;
    expect(audio!.original).toHaveLength(patches.length);
    expectClose(sums(audio!.original), sums(patches) * 2 * std + mean, { maxAbs: 1e-4 });
    model.dispose();
  });

  it('samples in several steps, repeatably, and sees one modality of two', async () => {
    await expectNoLeak(async () => {
      const model = build();
      const run = async (seed: number): Promise<Uint8ClampedArray> => {
        const { audio, video } = await model.reconstruct(pictures, {
          steps: 3,
          seed,
          maskRatio: 0.3,
        });
        expect(audio).toBeUndefined();
        return video!.prediction;
      };
      expect(await run(1)).toEqual(await run(1));
      expect(await run(1)).not.toEqual(await run(2));
      model.dispose();
    });
  });

  it('keeps states of the path on request, noise first, visible patches as they are', async () => {
    const model = build();
    const options = { steps: 10, keptSteps: 4, sampler: { kind: 'ddim' } as const };
    const { audio } = await model.reconstruct(sound, options);
    const { path, original, hidden, prediction } = audio!.patches;
    // Ten steps of T = 1000 visit 1000, 900 ... 100; the 2nd, 5th, 7th and 10th are kept.
    expect(path.map(({ timestep }) => timestep)).toEqual([900, 600, 400, 100]);
    const differing = (values: Float32Array): number[] => {
      const tokens = [...values.keys()].filter((i) => values[i] !== original[i]);
      return [...new Set(tokens.map((i) => Math.floor(i / 64)))].toSorted((a, b) => a - b);
    };
    for (const { patches } of path) {
      expect(differing(patches)).toEqual([...hidden].toSorted((a, b) => a - b));
    }
    expect(differing(prediction)).toHaveLength(hidden.length);
    model.dispose();
  });

  it('shows only the frames that are predicted', async () => {
    const model = build({ video: { ...presets.tiny.video, predictFrames: 2 } });
    const { video } = await model.reconstruct(pictures);
    expect([video!.frames, video!.original.length]).toEqual([2, 2 * 32 * 32 * 3]);
    model.dispose();
  });

  it('undoes the normalisation of targets with the true patch', async () => {
    const model = build({ masked: { kind: 'mask-token' }, loss: { normalizeTargets: true } });
    const { audio } = await model.reconstruct(sound);
    expect([...audio!.prediction].every(Number.isFinite)).toBe(true);
    await expect(model.reconstruct(sound, { steps: 2 })).rejects.toThrow(
      'samplePatches: expected a model with diffused patches, got one with mask tokens. Try: one step',
    );
    model.dispose();
  });

  it('refuses what it cannot do', async () => {
    const model = build({ loss: { normalizeTargets: true } });
    await expect(model.reconstruct({})).rejects.toThrow(
      'reconstruct: expected waveform and sampleRate, or frames and frameRate, got neither',
    );
    await expect(model.reconstruct(sound, { steps: 0 })).rejects.toThrow(
      'reconstruct: expected a whole number of steps from 1, got 0',
    );
    for (const maskRatio of [0, 0.999, 1.5]) {
      await expect(model.reconstruct(sound, { maskRatio })).rejects.toThrow(
        `reconstruct: audio: expected a mask ratio that leaves visible and masked tokens of ${tokenCount(model.config, 'audio')}, got ${maskRatio}`,
      );
    }
    await expect(model.reconstruct(sound, { steps: 2 })).rejects.toThrow(
      'samplePatches: expected a model of raw targets, got one of normalised targets, which cannot be noised again. Try: one step',
    );
    await expect(model.reconstruct(sound, { steps: 2, keptSteps: 3 })).rejects.toThrow(
      'reconstruct: expected keptSteps 0..2, got 3',
    );
    await expect(model.reconstruct(sound, { timestep: 1001 })).rejects.toThrow(
      'diffuse: expected timesteps 1..1000, got 1001',
    );
    model.dispose();
    await expect(model.embedAudio(sound.waveform, 16000)).rejects.toThrow(
      'DiffMavil: expected a model in use, got a disposed one',
    );
  });

  it('refuses a modality it does not have', async () => {
    const model = build({ video: null });
    await expect(model.embedVideo(pictures.frames, 5)).rejects.toThrow(
      'model: expected a configuration with video, got video: null',
    );
    model.dispose();
  });

  it('refuses to reconstruct without decoders', async () => {
    const config = presets.tiny;
    const all = initializeParameters(config, makeKey(1));
    const isEncoder = ([name]: [string, unknown]): boolean => name.startsWith('audio_encoder.');
    const parameters = Object.fromEntries(Object.entries(all).filter(isEncoder));
    const model = DiffMavil.fromParameters({ config, parameters });
    await expect(model.reconstruct(sound)).rejects.toThrow(
      'reconstruct: expected a model with decoders, got one without. Try: a pre-trained model folder',
    );
    disposeTree(all);
  });

  it('refuses a preprocessor of another model', () => {
    const config = presets.tiny;
    const parameters = initializeParameters(config, makeKey(1));
    const preprocessor = { ...defaultPreprocessor(presets.base), labels: ['a'] };
    expect(() => DiffMavil.fromParameters({ config, parameters, preprocessor })).toThrow(
      'DiffMavil.fromParameters: preprocessor: expected a preprocessor that fits the model, got ' +
        'audio.mels: 128 instead of 64; audio.frames: 1024 instead of 64; video.frames: 16 instead of 4; ' +
        'video.size: 224 instead of 32; labels and task: one of them null',
    );
    disposeTree(parameters);
  });
});

describe('clipVideoPatches', () => {
  it('takes the middle stretch, the centre square, and loops a short clip', () => {
    const model = build();
    const patches = clipVideoPatches(model, pictures);
    expect(patches).toHaveLength(32 * 384);
    // Two seconds of clip for a stretch of four: frames 0, 5, 0, 5 of ten, so both tubelets are alike.
    expect(patches.slice(0, 16 * 384)).toEqual(patches.slice(16 * 384));
    model.dispose();
    expect(tf.memory().numTensors).toBe(0);
  });
});
