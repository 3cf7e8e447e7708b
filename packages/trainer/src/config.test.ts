// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { defineFinetune, defineRun } from './config.ts';

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
};

describe('defineRun', () => {
  it("has the paper's defaults [DiffMAViL Table 4]", () => {
    const config = defineRun({ model: 'tiny' });
    expect(config.optimizer).toEqual({
      learningRate: 4e-4,
      minLearningRate: 1e-6,
      warmupEpochs: 8,
      weightDecay: 1e-5,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      clipNorm: null,
      layerDecay: 1,
    });
    expect(config.masking).toEqual({ kind: 'linear', start: 0.9, end: 0.8 });
    expect(config.epochs).toBe(60);
  });

  it('survives JSON and is frozen', () => {
    const config = defineRun({ model: 'tiny', epochs: 3 });
    expect(defineRun(JSON.parse(JSON.stringify(config)))).toEqual(config);
    expect(Object.isFrozen(config.optimizer)).toBe(true);
  });

  it('reports every fault at once, with the nearest known key', () => {
    expect(
      messageOf(() =>
        defineRun({
          model: 'tiny',
          epoch: 3,
          optimizer: { lr: 1, learningRat: 2 },
          batch: { size: 0 },
        }),
      ),
    ).toBe(
      "run config: unknown key 'optimizer.lr', expected one of learningRate, minLearningRate, warmupEpochs, weightDecay, beta1, beta2, epsilon, clipNorm, layerDecay; unknown key 'optimizer.learningRat'. Try: 'optimizer.learningRate'; batch.size: too small: expected number to be >=1; unknown key 'epoch'. Try: 'epochs'",
    );
  });

  it('takes a curriculum for each modality, and says what goes with it', () => {
    const masking = { audio: { kind: 'fixed', ratio: 0.7 }, video: { kind: 'fixed', ratio: 0.9 } };
    expect(
      defineRun({ model: 'avmae', masking, batch: { size: 2, adaptive: false } }).masking,
    ).toEqual(masking);
    expect(() => defineRun({ model: 'avmae', masking })).toThrow(
      'run config: batch.adaptive: expected false with a curriculum per modality, got true',
    );
    expect(() => defineRun({ model: 'tiny', masking: { audio: masking.audio } })).toThrow(
      /^run config: masking\.video: /,
    );
    expect(() => defineRun({ model: 'tiny', teacher: 'runs/a' })).toThrow(
      "run config: teacher: expected null, as model.targets.kind is 'patches', got 'runs/a'",
    );
  });

  it('refuses masking that leaves a modality nothing to see or to predict in some epoch', () => {
    const masking = { kind: 'linear', start: 0.5, end: 0.99 };
    const fault = (modality: string, tokens: number): string =>
      `masking: ${modality}: expected a mask ratio that leaves visible and masked tokens of ${tokens}, got 0.99`;
    expect(messageOf(() => defineRun({ model: 'tiny', masking, epochs: 2 }))).toBe(
      `run config: ${fault('audio', 64)}`,
    );
    const each = {
      masking: { audio: masking, video: masking },
      batch: { size: 2, adaptive: false },
    };
    expect(messageOf(() => defineRun({ model: 'tiny', ...each, epochs: 2 }))).toBe(
      `run config: ${fault('audio', 64)}; ${fault('video', 32)}`,
    );
    const uneven = { kind: 'step', ratios: [0.9], epochs: [3] };
    expect(messageOf(() => defineRun({ model: 'tiny', masking: uneven }))).toBe(
      'run config: masking: maskRatio: expected epochs to be a list of 0 numbers, got [3]',
    );
    expect(messageOf(() => defineRun({ model: 'tiny', masking: { ...masking, end: 0.9 } }))).toBe(
      'no error',
    );
    const overlapping = {
      audio: { frames: 68, mels: 68, patch: 8, stride: 4 },
      decoder: { audioAttention: 'global' },
    };
    expect(messageOf(() => defineRun({ model: overlapping }))).toBe(
      'run config: model: expected audio.stride to be audio.patch (8), got 4: overlapping patches can be embedded and classified, not restored',
    );
  });

  it('names the presets when the model is none of them', () => {
    expect(messageOf(() => defineRun({ model: 'huge' }))).toMatch(
      /^run config: expected model to be a preset \(tiny, small, base, .*\) or an object, got 'huge'$/,
    );
    expect(messageOf(() => defineRun({}))).toMatch(/^run config: model: /);
  });
});

describe('defineFinetune', () => {
  it('has layer-wise decay 0.75 and stochastic depth 0.1 [DiffMAViL Table 4]', () => {
    const config = defineFinetune({ model: 'tiny' });
    expect(config.optimizer.layerDecay).toBe(0.75);
    expect(config.dropPath).toBe(0.1);
    expect(config.modality).toBe('audio');
  });

  it('refuses to hide all that a classifier reads', () => {
    const masking = { time: 0.9, frequency: 0, video: 0.99 };
    const sentence = (modality: string): string =>
      messageOf(() => defineFinetune({ model: 'tiny', modality, masking }));
    // The grids of 8 x 8 and 2 x 4 x 4 tokens.
    expect(sentence('both')).toBe(
      'fine-tune config: masking.time: expected a share that leaves one of 8, got 0.9; ' +
        'masking.video: expected a share that leaves one of 32, got 0.99',
    );
    expect(sentence('video')).toBe(
      'fine-tune config: masking.video: expected a share that leaves one of 32, got 0.99',
    );
  });
});
