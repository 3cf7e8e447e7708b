// SPDX-License-Identifier: Apache-2.0
import { ConfigError } from '@diffmavil/core';
import { describe, expect, it } from 'vitest';

import { defineModel, patchValues, targetValues, tokenCount, tokenGrid } from './config.ts';
import type { PartialModelConfig } from './config.ts';
import { presetOrConfig, presets } from './presets.ts';

const faultsOf = (partial: unknown): string => {
  try {
    defineModel(partial as PartialModelConfig);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('expected defineModel to refuse this');
};
const one = 'defineModel: expected a valid model configuration, got 1 fault: ';

describe('defineModel', () => {
  it('fills the defaults of the design', () => {
    expect(defineModel()).toEqual({
      audio: { frames: 1024, mels: 128, patch: 16, stride: 16 },
      video: { frames: 16, size: 224, tubelet: 2, patch: 16, predictFrames: 16 },
      encoder: {
        width: 768,
        depth: 12,
        heads: 12,
        mlpRatio: 4,
        classToken: false,
        distillationToken: false,
        finalNorm: true,
        sharing: 'separate',
        positions: 'sincos',
        modalityToken: false,
        normEpsilon: 1e-6,
      },
      fusion: { kind: 'joint', depth: 2, bottlenecks: 4, finalNorm: true },
      decoder: {
        width: 512,
        depth: 8,
        heads: 16,
        audioAttention: 'window',
        window: [4, 4],
        shift: [2, 2],
        videoAttention: 'cross',
        sharing: 'separate',
        context: 'fused',
        positions: 'sincos',
        modalityToken: false,
        classToken: 'none',
      },
      classifier: { pooling: 'tokens', finalNorm: false, joint: 'side-by-side' },
      masking: { rounding: 'floor', secondView: 'disjoint', audio: 'random' },
      masked: {
        kind: 'diffused',
        timesteps: 1000,
        betaStart: 1e-4,
        betaEnd: 0.02,
        exponent: 0.8,
      },
      targets: { kind: 'patches' },
      loss: {
        audioWeight: 1,
        videoWeight: 1,
        interWeight: 0.1,
        interTemperature: 0.1,
        interDirection: 'audio-to-video',
        intraWeight: 0.01,
        intraTemperature: 1,
        normalizeTargets: false,
      },
    });
  });

  it('keeps a null modality and gives a mask token no diffusion fields', () => {
    const config = defineModel({ video: null, masked: { kind: 'mask-token' } });
    expect(config.video).toBeNull();
    expect(config.masked).toEqual({ kind: 'mask-token' });
  });

  it('survives a round trip through JSON', () => {
    for (const config of Object.values(presets)) {
      expect(defineModel(JSON.parse(JSON.stringify(config)) as PartialModelConfig)).toEqual(config);
    }
  });

  it('freezes the result to its leaves', () => {
    const config = defineModel();
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.encoder)).toBe(true);
    expect(Object.isFrozen(config.decoder.window)).toBe(true);
  });

  it('leaves the object it was given alone', () => {
    const window: [number, number] = [4, 4];
    defineModel({ decoder: { window } });
    expect(Object.isFrozen(window)).toBe(false);
  });

  it('names every fault in one sentence', () => {
    expect(
      faultsOf({
        encoder: { width: 770 },
        decoder: { heads: 0 },
        masked: { betaStart: 0.5 },
      }),
    ).toBe(
      'defineModel: expected a valid model configuration, got 4 faults: ' +
        'decoder.heads: expected a whole number 1..256, got 0; ' +
        'encoder.width: expected a multiple of encoder.heads (12), got 770; ' +
        'encoder.width: expected a multiple of 4 (sine and cosine on two axes), got 770; ' +
        'masked.betaEnd: expected at least masked.betaStart (0.5), got 0.02',
    );
  });

  it.each<[string, unknown, string]>([
    [
      'an unknown key near a known one',
      { encoder: { widht: 8 } },
      'encoder.widht: unknown key, did you mean encoder.width?',
    ],
    ['an unknown section', { los: {} }, 'los: unknown key, did you mean loss?'],
    [
      'a key like no other',
      { loss: { x: 1 } },
      'loss.x: unknown key, known: audioWeight, videoWeight, interWeight, interTemperature, interDirection, intraWeight, intraTemperature, normalizeTargets',
    ],
    ['a section that is no object', { encoder: 3 }, 'encoder: expected an object, got 3'],
    ['a null that is not allowed', { encoder: null }, 'encoder: expected an object, got null'],
    [
      'a modality of the wrong type',
      { audio: 'yes' },
      'audio: expected an object or null, got "yes"',
    ],
    [
      'no modality',
      { audio: null, video: null },
      'audio, video: expected at least one modality, got null and null',
    ],
    [
      'frames no multiple of the patch',
      { audio: { frames: 1000 } },
      'audio.frames: expected a multiple of audio.patch (16), got 1000',
    ],
    [
      'mels no multiple of the patch',
      { audio: { mels: 100 }, decoder: { audioAttention: 'global' } },
      'audio.mels: expected a multiple of audio.patch (16), got 100',
    ],
    [
      'frames no multiple of the tubelet',
      { video: { frames: 15 } },
      'video.frames: expected a multiple of video.tubelet (2), got 15',
    ],
    [
      'a size no multiple of the patch',
      { video: { size: 100 } },
      'video.size: expected a multiple of video.patch (16), got 100',
    ],
    [
      'predicted frames between',
      { video: { predictFrames: 4 } },
      'video.predictFrames: expected video.frames (16) or video.frames / video.tubelet (8), got 4',
    ],
    [
      'decoder heads',
      { decoder: { heads: 12 } },
      'decoder.width: expected a multiple of decoder.heads (12), got 512',
    ],
    [
      'a window that does not divide',
      { decoder: { window: [4, 3] } },
      'decoder.window.1: expected a divisor of the audio grid (8 tokens), got 3',
    ],
    [
      'a shift of a whole window',
      { decoder: { shift: [4, 0] } },
      'decoder.shift.0: expected less than decoder.window.0 (4), got 4',
    ],
    [
      'a window of three',
      { decoder: { window: [4, 4, 4] } },
      'decoder.window: expected two whole numbers 1..64, got [4,4,4]',
    ],
    [
      'an unknown kind of masked patches',
      { masked: { kind: 'noise' } },
      "masked.kind: expected 'diffused' or 'mask-token', got \"noise\"",
    ],
    [
      'diffusion fields on a mask token',
      { masked: { kind: 'mask-token', timesteps: 10 } },
      'masked.timesteps: unknown key, known: kind',
    ],
    [
      'a beta of one',
      { masked: { betaEnd: 1 } },
      'masked.betaEnd: expected a number above 0 and below 1, got 1',
    ],
    [
      'a stride past the patch',
      { audio: { stride: 17 } },
      'audio.stride: expected at most audio.patch (16), got 17',
    ],
    [
      "a decoder that takes the encoder's class token, which there is none of, into windows",
      { decoder: { classToken: 'encoder' } },
      "decoder.classToken: expected 'none' or 'learned' without encoder.classToken, got \"encoder\"; " +
        "decoder.audioAttention: expected 'global' for decoder.classToken 'encoder', got \"window\"; " +
        "decoder.videoAttention: expected 'self' for decoder.classToken 'encoder', got \"cross\"",
    ],
    [
      'a classifier of class tokens without one, and of a final norm without one',
      { encoder: { finalNorm: false }, classifier: { pooling: 'class-tokens', finalNorm: true } },
      'classifier.pooling: expected \'tokens\' without encoder.classToken, got "class-tokens"; ' +
        'classifier.finalNorm: expected false without encoder.finalNorm, got true',
    ],
    [
      'a distillation token alone',
      { encoder: { distillationToken: true } },
      'encoder.distillationToken: expected false without encoder.classToken, got true',
    ],
    [
      'a bottleneck of one modality',
      { video: null, fusion: { kind: 'bottleneck' } },
      'fusion.kind: expected a kind for one modality, as video is null, got "bottleneck"',
    ],
    [
      'a joint decoder of one modality',
      {
        audio: null,
        decoder: { sharing: 'joint', audioAttention: 'global', videoAttention: 'self' },
      },
      'decoder.sharing: expected a kind for one modality, as audio is null, got "joint"',
    ],
    [
      'windows in a shared decoder',
      { decoder: { sharing: 'shared', videoAttention: 'self' } },
      "decoder.audioAttention: expected 'global' for decoder.sharing 'shared', got \"window\"",
    ],
    [
      'cross attention in a joint decoder',
      { decoder: { sharing: 'joint', audioAttention: 'global' } },
      "decoder.videoAttention: expected 'self' for decoder.sharing 'joint', got \"cross\"",
    ],
    [
      'windows where the other modality is read',
      { decoder: { context: 'other-modality' } },
      "decoder.audioAttention: expected 'global' for decoder.context 'other-modality', got \"window\"",
    ],
    [
      'rows hidden with a disjoint second view',
      { masking: { audio: 'time' } },
      "masking.secondView: expected 'independent' for masking.audio 'time', or loss.intraWeight 0, got \"disjoint\"",
    ],
    [
      'two normalisations of a teacher',
      { targets: { kind: 'teacher' }, loss: { normalizeTargets: true } },
      'loss.normalizeTargets: expected false for the features of a teacher (targets.normalize is theirs), got true',
    ],
    [
      'a teacher of no width',
      { targets: { kind: 'teacher', width: 0 } },
      'targets.width: expected a whole number 1..8192, got 0',
    ],
    [
      'a fractional hidden width',
      { encoder: { mlpRatio: 0.3 } },
      'encoder.mlpRatio: expected a whole hidden width for encoder.width (768), got 0.3; encoder.mlpRatio: expected a whole hidden width for decoder.width (512), got 0.3',
    ],
    [
      'NaN',
      { loss: { audioWeight: Number.NaN } },
      'loss.audioWeight: expected a number 0..1000, got NaN',
    ],
    [
      'a word for a flag',
      { loss: { normalizeTargets: 'no' } },
      'loss.normalizeTargets: expected true or false, got "no"',
    ],
  ])('refuses %s', (_, partial, message) => {
    const faults = message.split('; ').length;
    const count = `got ${faults} fault${faults === 1 ? '' : 's'}: `;
    expect(faultsOf(partial)).toBe(
      `defineModel: expected a valid model configuration, ${count}${message}`,
    );
  });

  it('refuses what is no object', () => {
    expect(faultsOf('base')).toBe('defineModel: expected an object of model settings, got "base"');
  });

  it('does not look at the window of a global decoder or of a model without audio', () => {
    expect(
      defineModel({ decoder: { audioAttention: 'global', window: [3, 3] } }).audio,
    ).not.toBeNull();
    expect(defineModel({ audio: null, decoder: { window: [3, 3] } }).audio).toBeNull();
  });

  it('names the one fault of one key', () => {
    expect(faultsOf({ audio: { patch: 0 } })).toBe(
      `${one}audio.patch: expected a whole number 1..256, got 0`,
    );
  });
});

describe('token counts', () => {
  it("are the paper's: 64 x 8 = 512 of audio, 8 x 14 x 14 = 1568 of video", () => {
    const config = presets['paper-r2'];
    expect(tokenGrid(config, 'audio')).toEqual([64, 8]);
    expect(tokenGrid(config, 'video')).toEqual([8, 14, 14]);
    expect([tokenCount(config, 'audio'), tokenCount(config, 'video')]).toEqual([512, 1568]);
  });

  it('come with 256 and 1536 input values, and 768 target values for one frame per tubelet', () => {
    const config = presets['paper-r2'];
    expect([patchValues(config, 'audio'), patchValues(config, 'video')]).toEqual([256, 1536]);
    expect([targetValues(config, 'audio'), targetValues(config, 'video')]).toEqual([256, 768]);
    expect(targetValues(presets.base, 'video')).toBe(1536);
  });

  it('refuse a modality the configuration lacks', () => {
    expect(() => tokenCount(presets.audiomae, 'video')).toThrow(
      'model: expected a configuration with video, got video: null',
    );
  });
});

describe('presetOrConfig', () => {
  it('takes a name or a configuration', () => {
    expect(presetOrConfig('tiny')).toBe(presets.tiny);
    expect(presetOrConfig({ video: null }).video).toBeNull();
  });

  it('names the presets when it knows none of that name', () => {
    expect(() => presetOrConfig('huge')).toThrow(
      /^preset: expected one of tiny, small, base, .*cav-mae, got 'huge'$/,
    );
  });
});
