// SPDX-License-Identifier: Apache-2.0
// The model configuration: defaults, the function that fills and checks it, and what follows from it.
// Fields are in config-types.ts, what is checked is in config-schema.ts.
import { ConfigError } from '@diffmavil/core';

import { checkConfig } from './config-schema.ts';
import type {
  AudioConfig,
  VideoConfig,
  ModelConfig,
  Modality,
  PartialModelConfig,
} from './config-types.ts';

export type {
  AudioConfig,
  VideoConfig,
  EncoderConfig,
  FusionConfig,
  DecoderConfig,
  ClassifierConfig,
  MaskingConfig,
  TargetsConfig,
  MaskedConfig,
  LossConfig,
  ModelConfig,
  Modality,
  PartialModelConfig,
} from './config-types.ts';

const defaults: Record<string, Record<string, unknown>> = {
  audio: { frames: 1024, mels: 128, patch: 16 },
  video: { frames: 16, size: 224, tubelet: 2, patch: 16 },
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
};

/** Defaults of tags other than a section's own. */
const otherKinds: Record<string, Record<string, unknown>> = {
  teacher: { width: 768, features: 'fusion', normalize: false },
};

/**
 * Fills defaults, checks every field and every rule between fields, and freezes the result. The result
 * is JSON: `defineModel(JSON.parse(JSON.stringify(config)))` equals `config`.
 * Throws one ConfigError that names all faults.
 */
export function defineModel(partial: PartialModelConfig = {}): ModelConfig {
  if (!isRecord(partial)) {
    throw new ConfigError(
      `defineModel: expected an object of model settings, got ${show(partial)}`,
    );
  }
  const filled = fillDefaults(partial);
  const faults = checkConfig(filled);
  if (faults.length > 0) {
    throw new ConfigError(
      `defineModel: expected a valid model configuration, got ${faults.length} ` +
        `fault${faults.length === 1 ? '' : 's'}: ${faults.join('; ')}`,
    );
  }
  return deepFreeze(structuredClone(filled)) as unknown as ModelConfig;
}

function fillDefaults(partial: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const filled: Record<string, unknown> = { ...partial };
  for (const [section, fallback] of Object.entries(defaults)) {
    const given = partial[section];
    if (given === undefined) filled[section] = { ...fallback };
    else if (isRecord(given)) filled[section] = fillSection(section, given, fallback);
  }
  const { audio, video } = filled;
  if (isRecord(audio) && audio['stride'] === undefined) {
    // A patch that is no whole number is one fault, not two.
    const patch = audio['patch'];
    filled['audio'] = { ...audio, stride: Number(patch) >= 1 ? patch : 1 };
  }
  if (isRecord(video) && video['predictFrames'] === undefined) {
    filled['video'] = { ...video, predictFrames: video['frames'] };
  }
  return filled;
}

function fillSection(
  section: string,
  given: Record<string, unknown>,
  fallback: Record<string, unknown>,
): Record<string, unknown> {
  // The fields of a tagged union belong to its tag: a mask token takes no diffusion defaults.
  const tagged = section === 'masked' || section === 'targets';
  const other = tagged && (given['kind'] ?? fallback['kind']) !== fallback['kind'];
  const filled: Record<string, unknown> = {
    ...(other ? (otherKinds[String(given['kind'])] ?? {}) : fallback),
  };
  for (const [key, value] of Object.entries(given)) {
    if (value !== undefined) filled[key] = value;
  }
  return filled;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}

/** Tokens along each axis of one modality's grid: audio [time, frequency], video [time, row, column]. */
export function tokenGrid(config: ModelConfig, modality: Modality): readonly number[] {
  if (modality === 'audio') {
    const { frames, mels, patch, stride } = audioOf(config);
    return [frames, mels].map((length) => Math.floor((length - patch) / stride) + 1);
  }
  const { frames, size, tubelet, patch } = videoOf(config);
  return [frames / tubelet, size / patch, size / patch];
}

/** Tokens of one unmasked clip: 512 of audio and 1568 of video in the paper. */
export function tokenCount(config: ModelConfig, modality: Modality): number {
  return tokenGrid(config, modality).reduce((product, n) => product * n, 1);
}

/** Values of one input patch: patch^2 (audio) or tubelet * patch^2 * 3 (video). */
export function patchValues(config: ModelConfig, modality: Modality): number {
  if (modality === 'audio') return audioOf(config).patch ** 2;
  const { tubelet, patch } = videoOf(config);
  return tubelet * patch ** 2 * 3;
}

/** Values of one raw target patch, which is also what is diffused: as the input, or one frame of it when predictFrames = frames/tubelet. */
export function targetPatchValues(config: ModelConfig, modality: Modality): number {
  if (modality === 'audio') return patchValues(config, 'audio');
  const { frames, tubelet, predictFrames } = videoOf(config);
  return patchValues(config, 'video') / (predictFrames === frames ? 1 : tubelet);
}

/** Values a decoder predicts per token: those of the target patch, or the width of the teacher's features. */
export function targetValues(config: ModelConfig, modality: Modality): number {
  const { targets } = config;
  return targets.kind === 'teacher' ? targets.width : targetPatchValues(config, modality);
}

/** The modalities a configuration has, audio first. */
export function modalities(config: ModelConfig): Modality[] {
  return (['audio', 'video'] as const).filter((modality) => config[modality] !== null);
}

export function audioOf(config: ModelConfig): AudioConfig {
  if (config.audio === null) throw missing('audio');
  return config.audio;
}

export function videoOf(config: ModelConfig): VideoConfig {
  if (config.video === null) throw missing('video');
  return config.video;
}

function missing(modality: Modality): ConfigError {
  return new ConfigError(`model: expected a configuration with ${modality}, got ${modality}: null`);
}
