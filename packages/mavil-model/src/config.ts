// SPDX-License-Identifier: Apache-2.0
// The model configuration: plain JSON, one doc line per field, and the function that checks it.
// [DiffMAViL §3, App. C], [MAViL §3], [AudioMAE], design defaults. What is checked is in config-schema.ts.
import { ConfigError } from '@diffmavil/core';

import { checkConfig } from './config-schema.ts';

/** Spectrogram input, or null for a model without audio. Tokens: (frames/patch) x (mels/patch), time-major. */
export interface AudioConfig {
  /** Log-mel rows (10 ms each), a whole number 1..16384, a multiple of patch. Default 1024. */
  readonly frames: number;
  /** Log-mel columns, a whole number 1..1024, a multiple of patch. Default 128. */
  readonly mels: number;
  /** Side of the square patch in rows and columns, a whole number 1..256. Default 16. */
  readonly patch: number;
}

/** Video input, or null for a model without video. Tokens: (frames/tubelet) x (size/patch) x (size/patch). */
export interface VideoConfig {
  /** Frames per clip, a whole number 1..1024, a multiple of tubelet. Default 16. */
  readonly frames: number;
  /** Side of the square frame in pixels, a whole number 1..2048, a multiple of patch. Default 224. */
  readonly size: number;
  /** Frames per token, a whole number 1..64. Default 2. */
  readonly tubelet: number;
  /** Side of the square patch in pixels, a whole number 1..256. Default 16. */
  readonly patch: number;
  /** Frames the decoder predicts: frames, or frames/tubelet (one frame per tubelet). Default: frames. */
  readonly predictFrames: number;
}

/** The two encoders (one per modality, same size). [DiffMAViL App. C] */
export interface EncoderConfig {
  /** Token width, a whole number 4..8192, a multiple of heads and of 4. Default 768. */
  readonly width: number;
  /** Blocks, a whole number 1..128. Default 12. */
  readonly depth: number;
  /** Attention heads, a whole number 1..256. Default 12. */
  readonly heads: number;
  /** Hidden width of every MLP (encoders, fusion, decoders) over its token width, 0.25..16. Default 4. */
  readonly mlpRatio: number;
  /** Whether a learned class token is put before the visible tokens. Default false. */
  readonly classToken: boolean;
  /** Whether a LayerNorm follows the last block. Default true. */
  readonly finalNorm: boolean;
}

/** Mixing of the visible tokens of both modalities after the encoders. [MAViL §3.1] */
export interface FusionConfig {
  /** 'joint': blocks over the concatenation; 'none': no fusion. 'bottleneck' is refused: not built yet. Default 'joint'. */
  readonly kind: 'joint' | 'bottleneck' | 'none';
  /** Blocks of a joint fusion, a whole number 1..128. Default 2. */
  readonly depth: number;
  /** Tokens of a bottleneck fusion, a whole number 1..1024. Default 4. */
  readonly bottlenecks: number;
  /** Whether a LayerNorm follows the last block of a joint fusion. Default true. */
  readonly finalNorm: boolean;
}

/** The two decoders (one per modality, same size). [DiffMAViL §3, App. C] */
export interface DecoderConfig {
  /** Token width, a whole number 4..8192, a multiple of heads and of 4. Default 512. */
  readonly width: number;
  /** Blocks, a whole number 1..128. Default 8. */
  readonly depth: number;
  /** Attention heads, a whole number 1..256. Default 16. */
  readonly heads: number;
  /** 'window': shifted windows on the time-frequency grid; 'global': all tokens. Default 'window'. */
  readonly audioAttention: 'window' | 'global';
  /** Window rows (time) and columns (frequency) in tokens, whole numbers 1..64 that divide the audio grid. Default [4, 4]. */
  readonly window: readonly [number, number];
  /** Shift of every second block in tokens, whole numbers 0..63 below the window. Default [2, 2]. */
  readonly shift: readonly [number, number];
  /** 'cross': masked tokens read the visible ones only; 'self': all tokens read all. Default 'cross'. */
  readonly videoAttention: 'cross' | 'self';
}

/** What stands at the masked positions of a decoder: diffused patches, or one learned token. [DiffMAViL App. B.2] */
export type MaskedConfig =
  | {
      readonly kind: 'diffused';
      /** Diffusion steps T, a whole number 1..100000. Default 1000. */
      readonly timesteps: number;
      /** beta_1, a number in (0, 1). Default 1e-4. */
      readonly betaStart: number;
      /** beta_T, a number in (0, 1), at least betaStart. Default 0.02. */
      readonly betaEnd: number;
      /** phi of b_t = beta_t^phi, a number in (0, 10]. Default 0.8. */
      readonly exponent: number;
    }
  | { readonly kind: 'mask-token' };

/** Weights of the loss terms. [MAViL §4.2] */
export interface LossConfig {
  /** Weight of the audio reconstruction, 0..1000. Default 1. */
  readonly audioWeight: number;
  /** Weight of the video reconstruction, 0..1000. Default 1. */
  readonly videoWeight: number;
  /** Weight of the audio-to-video contrast, 0..1000; counts only when both modalities are present. Default 0.1. */
  readonly interWeight: number;
  /** Temperature of the audio-to-video contrast, 0.0001..1000. Default 0.1. */
  readonly interTemperature: number;
  /** Weight of the contrast between two views, 0..1000; 0 spares the second encoder pass. Default 0.01. */
  readonly intraWeight: number;
  /** Temperature of the contrast between two views, 0.0001..1000. Default 1. */
  readonly intraTemperature: number;
  /** Whether each target patch is shifted to mean 0 and scaled to unbiased variance 1. Default false. */
  readonly normalizeTargets: boolean;
}

export interface ModelConfig {
  readonly audio: AudioConfig | null;
  readonly video: VideoConfig | null;
  readonly encoder: EncoderConfig;
  readonly fusion: FusionConfig;
  readonly decoder: DecoderConfig;
  readonly masked: MaskedConfig;
  readonly loss: LossConfig;
}

export type Modality = 'audio' | 'video';

/** Any part of a configuration; what is left out takes its default. */
export interface PartialModelConfig {
  readonly audio?: Partial<AudioConfig> | null;
  readonly video?: Partial<VideoConfig> | null;
  readonly encoder?: Partial<EncoderConfig>;
  readonly fusion?: Partial<FusionConfig>;
  readonly decoder?: Partial<DecoderConfig>;
  readonly masked?:
    | Partial<Extract<MaskedConfig, { kind: 'diffused' }>>
    | Extract<MaskedConfig, { kind: 'mask-token' }>;
  readonly loss?: Partial<LossConfig>;
}

const defaults: Record<string, Record<string, unknown>> = {
  audio: { frames: 1024, mels: 128, patch: 16 },
  video: { frames: 16, size: 224, tubelet: 2, patch: 16 },
  encoder: {
    width: 768,
    depth: 12,
    heads: 12,
    mlpRatio: 4,
    classToken: false,
    finalNorm: true,
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
  },
  masked: {
    kind: 'diffused',
    timesteps: 1000,
    betaStart: 1e-4,
    betaEnd: 0.02,
    exponent: 0.8,
  },
  loss: {
    audioWeight: 1,
    videoWeight: 1,
    interWeight: 0.1,
    interTemperature: 0.1,
    intraWeight: 0.01,
    intraTemperature: 1,
    normalizeTargets: false,
  },
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
  const { video } = filled;
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
  const other = section === 'masked' && (given['kind'] ?? 'diffused') !== 'diffused';
  const filled: Record<string, unknown> = other ? {} : { ...fallback };
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
    const { frames, mels, patch } = audioOf(config);
    return [frames / patch, mels / patch];
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

/** Values of one target patch: as the input, or one frame of it when predictFrames = frames/tubelet. */
export function targetValues(config: ModelConfig, modality: Modality): number {
  if (modality === 'audio') return patchValues(config, 'audio');
  const { frames, tubelet, predictFrames } = videoOf(config);
  return patchValues(config, 'video') / (predictFrames === frames ? 1 : tubelet);
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
