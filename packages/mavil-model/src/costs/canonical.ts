// SPDX-License-Identifier: Apache-2.0
// Costs of one clip's forward pass as papers count them [DiffMAViL Table 5, App. D]: by formula, whatever the program does.
// Patches are embedded once (all of them with mask tokens, the visible ones when diffused), there are no class tokens, and the head of a
// self-attention decoder runs on every token. Kept values are what backpropagation needs by the book: the input of every product,
// LayerNorm and GELU and the attention probabilities, each once.
// Legend: n tokens, w width, r MLP ratio, k keys one query sees, h heads.
import { modalities, patchValues, targetPatchValues, targetValues, tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import { shownModality } from '../decoder.ts';
import { maskRatioOf, visibleTokenCount } from '../masking.ts';
import type { MaskRatios } from '../masking.ts';
import type { CostModule } from './ledger.ts';

/** Multiply-accumulates, and values kept for the backward pass. */
export interface Cost {
  readonly macs: number;
  readonly kept: number;
}

const nothing: Cost = { macs: 0, kept: 0 };

/** Tokens of a modality. */
interface Counts {
  readonly all: number;
  readonly visible: number;
  readonly masked: number;
}
type BothCounts = Readonly<Record<Modality, Counts>>;

/** One clip's forward pass by module; contrast is not counted. */
export function canonicalCosts(
  config: ModelConfig,
  ratios: MaskRatios,
): Record<Exclude<CostModule, 'contrast'>, Cost> {
  const of = (m: Modality): Counts => {
    if (config[m] === null) return { all: 0, visible: 0, masked: 0 };
    const [all, visible] = [
      tokenCount(config, m),
      visibleTokenCount(config, m, maskRatioOf(ratios, m)),
    ];
    return { all, visible, masked: all - visible };
  };
  const counts = { audio: of('audio'), video: of('video') };
  const has = (m: Modality): boolean => config[m] !== null;
  return {
    audioEncoder: has('audio') ? encoder(config, 'audio', counts) : nothing,
    audioDecoder: has('audio') ? decoder(config, 'audio', counts) : nothing,
    videoEncoder: has('video') ? encoder(config, 'video', counts) : nothing,
    videoDecoder: has('video') ? decoder(config, 'video', counts) : nothing,
    fusion: fusion(config, counts),
  };
}

function encoder(config: ModelConfig, modality: Modality, counts: BothCounts): Cost {
  const { width, depth, heads, mlpRatio, finalNorm } = config.encoder;
  const { all, visible } = counts[modality];
  const embedded = config.masked.kind === 'diffused' ? visible : all;
  const last = finalNorm ? { macs: 0, kept: visible * width } : nothing;
  const view = plus(times(depth, selfBlock(visible, width, mlpRatio, heads)), last);
  return plus(times(views(config), view), linear(embedded, patchValues(config, modality), width));
}

function fusion(config: ModelConfig, { audio, video }: BothCounts): Cost {
  const { kind, depth, bottlenecks } = config.fusion;
  const { width, heads, mlpRatio } = config.encoder;
  const over = (n: number): Cost => times(depth, selfBlock(n, width, mlpRatio, heads));
  const joint = over(audio.visible + video.visible);
  const apart = (extra: number): Cost =>
    modalities(config)
      .map((m) => over({ audio, video }[m].visible + extra))
      .reduce(plus, nothing);
  switch (kind) {
    case 'none':
      return nothing;
    case 'joint':
      return joint;
    case 'bottleneck':
      return apart(bottlenecks);
    case 'modality-norms':
      return plus(joint, times(views(config), apart(0)));
    default:
      return kind satisfies never;
  }
}

function decoder(config: ModelConfig, modality: Modality, counts: BothCounts): Cost {
  const { width, depth, sharing, context, window, audioAttention, videoAttention } = config.decoder;
  const { heads } = config.decoder;
  const { mlpRatio } = config.encoder;
  const { masked } = counts[modality];
  const shown = counts[shownModality(config, modality)].visible;
  const cross = modality === 'video' && videoAttention === 'cross';
  const windowed = modality === 'audio' && audioAttention !== 'global';
  const tokens = shown + masked;
  // A joint decoder's tokens see those of both modalities.
  const both = counts.audio.all + counts.video.all;
  const keys = windowed ? window[0] * window[1] : sharing === 'joint' ? both : tokens;
  const block = cross
    ? crossBlock(masked, shown, width, mlpRatio, heads)
    : selfBlock(tokens, width, mlpRatio, heads, keys);
  const read = cross ? { macs: 0, kept: 2 * shown * width } : nothing;
  const noised =
    config.masked.kind === 'diffused'
      ? linear(masked, targetPatchValues(config, modality), width)
      : nothing;
  const scored = cross || context === 'other-modality' ? masked : tokens;
  const head = linear(scored, width, targetValues(config, modality));
  return [
    times(depth, block),
    read,
    linear(shown, config.encoder.width, width),
    noised,
    { ...head, kept: 2 * head.kept },
  ].reduce(plus, nothing);
}

/** Encoder passes of each modality. */
function views({ loss }: ModelConfig): number {
  return loss.intraWeight > 0 ? 2 : 1;
}

function linear(n: number, into: number, out: number): Cost {
  return { macs: n * into * out, kept: n * into };
}

/** Self-attention block: qkv and projection 4 n w^2, scores and their use 2 n k w, MLP 2 r n w^2. */
function selfBlock(n: number, w: number, r: number, h: number, k: number = n): Cost {
  return {
    macs: 4 * n * w * w + 2 * n * k * w + 2 * r * n * w * w,
    kept: (8 + 2 * r) * n * w + h * n * k,
  };
}

/** Cross-attention block: q and projection 2 nq w^2, kv 2 nk w^2, scores and use 2 nq nk w, MLP on the queries. */
function crossBlock(nq: number, nk: number, w: number, r: number, h: number): Cost {
  return {
    macs: (2 * nq + 2 * nk) * w * w + 2 * nq * nk * w + 2 * r * nq * w * w,
    kept: (6 + 2 * r) * nq * w + 2 * nk * w + h * nq * nk,
  };
}

function times(factor: number, { macs, kept }: Cost): Cost {
  return { macs: factor * macs, kept: factor * kept };
}

function plus(a: Cost, b: Cost): Cost {
  return { macs: a.macs + b.macs, kept: a.kept + b.kept };
}
