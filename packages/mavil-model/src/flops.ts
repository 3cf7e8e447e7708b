// SPDX-License-Identifier: Apache-2.0
// Multiply-accumulates of one forward pass, per clip [DiffMAViL Table 5, App. D]. Only matrix products count:
// no normalisation, softmax, activation, bias or gather. FLOPs = 2 MACs; a training step is about 3 forwards.
// Legend: n tokens, w width, r MLP ratio, k keys one query sees.
import { patchValues, targetValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { biasHidden } from './cosine-window.ts';
import { classTokens } from './encoder.ts';
import { maskRatioOf, maskRatiosAt, visibleTokenCount } from './masking.ts';
import type { MaskCurricula, MaskRatios } from './masking.ts';

export interface MacCounts {
  readonly audioEncoder: number;
  readonly audioDecoder: number;
  readonly videoEncoder: number;
  readonly videoDecoder: number;
  readonly fusion: number;
  readonly total: number;
}

export interface MacOptions {
  /**
   * 'canonical' (default) reproduces Table 5: patches embedded once per clip (all of them with mask tokens, the
   * visible ones when diffused), no class token, the head of a self-attention decoder on every token.
   * 'exact' counts what this code runs: patches embedded in every view, class tokens, heads on masked tokens only.
   */
  readonly accounting?: 'canonical' | 'exact';
}

/** MACs of one clip's forward pass at a mask ratio in [0, 1). */
export function countMacs(
  config: ModelConfig,
  ratios: MaskRatios,
  options: MacOptions = {},
): MacCounts {
  const exact = options.accounting === 'exact';
  const of = (m: Modality): Branch =>
    config[m] === null ? none : branch(config, m, maskRatioOf(ratios, m), exact);
  const [audio, video] = [of('audio'), of('video')];
  const { depth, kind } = config.fusion;
  const fusion =
    kind === 'none'
      ? 0
      : depth *
        selfBlock(audio.tokens + video.tokens, config.encoder.width, config.encoder.mlpRatio);
  return totalled({
    audioEncoder: audio.encoder,
    audioDecoder: audio.decoder,
    videoEncoder: video.encoder,
    videoDecoder: video.decoder,
    fusion,
  });
}

/** Mean over the epochs of a curriculum, unrounded: Table 5 row R3 is 60 epochs of 0.9 to 0.8. */
export function countMacsOverCurriculum(
  config: ModelConfig,
  curricula: MaskCurricula,
  epochs: number,
  options: MacOptions = {},
): MacCounts {
  const sum = { audioEncoder: 0, audioDecoder: 0, videoEncoder: 0, videoDecoder: 0, fusion: 0 };
  for (let epoch = 0; epoch < epochs; epoch++) {
    const macs = countMacs(config, maskRatiosAt(curricula, epoch, epochs), options);
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += macs[key];
  }
  for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] /= epochs;
  return totalled(sum);
}

/** Each module's MACs over another's; a module the other lacks gives NaN (0/0) or Infinity. */
export function macRatios(macs: MacCounts, base: MacCounts): MacCounts {
  return {
    audioEncoder: macs.audioEncoder / base.audioEncoder,
    audioDecoder: macs.audioDecoder / base.audioDecoder,
    videoEncoder: macs.videoEncoder / base.videoEncoder,
    videoDecoder: macs.videoDecoder / base.videoDecoder,
    fusion: macs.fusion / base.fusion,
    total: macs.total / base.total,
  };
}

interface Branch {
  /** Tokens this modality brings into the fusion. */
  readonly tokens: number;
  readonly encoder: number;
  readonly decoder: number;
}

const none: Branch = { tokens: 0, encoder: 0, decoder: 0 };

function branch(config: ModelConfig, modality: Modality, ratio: number, exact: boolean): Branch {
  const all = tokenCount(config, modality);
  const visible = visibleTokenCount(config, modality, ratio);
  const { width, depth, mlpRatio } = config.encoder;
  const views = config.loss.intraWeight > 0 ? 2 : 1;
  const tokens = visible + (exact ? classTokens(config) : 0);
  const diffused = config.masked.kind === 'diffused';
  const embedded = exact ? views * visible : diffused ? visible : all;
  const encoder =
    views * depth * selfBlock(tokens, width, mlpRatio) +
    embedded * patchValues(config, modality) * width;
  return { tokens, encoder, decoder: decoderMacs(config, modality, visible, exact) };
}

function decoderMacs(
  config: ModelConfig,
  modality: Modality,
  visible: number,
  exact: boolean,
): number {
  const all = tokenCount(config, modality);
  const masked = all - visible;
  const values = targetValues(config, modality);
  const { width, depth, window, audioAttention, videoAttention } = config.decoder;
  const { mlpRatio } = config.encoder;
  const cross = modality === 'video' && videoAttention === 'cross';
  const windowed = modality === 'audio' && audioAttention !== 'global';
  const extra = exact ? decoderClassTokens(config) : { embedded: 0, mixed: 0 };
  const mixed = all + extra.mixed;
  const block = cross
    ? crossBlock(masked, visible, width, mlpRatio)
    : selfBlock(mixed, width, mlpRatio, windowed ? window[0] * window[1] : mixed) +
      (exact && modality === 'audio' ? positionBias(config) : 0);
  const embed = (visible + extra.embedded) * config.encoder.width * width;
  const noised = config.masked.kind === 'diffused' ? masked * values * width : 0;
  const head = (cross || exact ? masked : all) * width * values;
  return depth * block + embed + noised + head;
}

/** Class tokens that a decoder mixes in, and those of them that it embeds first. */
function decoderClassTokens(config: ModelConfig): { embedded: number; mixed: number } {
  const { classToken } = config.decoder;
  const embedded = classToken === 'encoder' ? classTokens(config) : 0;
  return { embedded, mixed: classToken === 'learned' ? 1 : embedded };
}

/** The MLP behind the position bias of a cosine window, once for every pair of its tokens. */
function positionBias({ decoder: { audioAttention, window, heads } }: ModelConfig): number {
  if (audioAttention !== 'cosine-window') return 0;
  return (window[0] * window[1]) ** 2 * biasHidden * (2 + heads);
}

/** Self-attention block: qkv and projection 4 n w^2, scores and their use 2 n k w, MLP 2 r n w^2. */
function selfBlock(n: number, w: number, r: number, k: number = n): number {
  return 4 * n * w * w + 2 * n * k * w + 2 * r * n * w * w;
}

/** Cross-attention block: q and projection 2 nq w^2, kv 2 nk w^2, scores and use 2 nq nk w, MLP on the queries. */
function crossBlock(nq: number, nk: number, w: number, r: number): number {
  return (2 * nq + 2 * nk) * w * w + 2 * nq * nk * w + 2 * r * nq * w * w;
}

function totalled(parts: Omit<MacCounts, 'total'>): MacCounts {
  const { audioEncoder, audioDecoder, videoEncoder, videoDecoder, fusion } = parts;
  const total = audioEncoder + audioDecoder + videoEncoder + videoDecoder + fusion;
  return { ...parts, total };
}
