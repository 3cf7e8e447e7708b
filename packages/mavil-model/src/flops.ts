// SPDX-License-Identifier: Apache-2.0
// Multiply-accumulates of one forward pass, per clip [DiffMAViL Table 5, App. D]. Only matrix products count:
// no normalisation, softmax, activation, bias or gather. FLOPs = 2 MACs; a training step is in costs/training.ts.
import type { ModelConfig } from './config.ts';
import { canonicalCosts } from './costs/canonical.ts';
import { tracePass } from './costs/pass.ts';
import { maskRatiosAt } from './masking.ts';
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
   * 'exact' counts what this code runs: patches embedded in every view, class tokens, heads on masked tokens only, the position
   * bias of cosine windows (once per batch, here of one clip).
   */
  readonly accounting?: 'canonical' | 'exact';
}

/** MACs of one clip's forward pass at a mask ratio in [0, 1); contrast is left out. */
export function countMacs(
  config: ModelConfig,
  ratios: MaskRatios,
  options: MacOptions = {},
): MacCounts {
  if (options.accounting === 'exact') {
    const { products } = tracePass(config, ratios, 1);
    return totalled({
      audioEncoder: products.audioEncoder.forward,
      audioDecoder: products.audioDecoder.forward,
      videoEncoder: products.videoEncoder.forward,
      videoDecoder: products.videoDecoder.forward,
      fusion: products.fusion.forward,
    });
  }
  const costs = canonicalCosts(config, ratios);
  return totalled({
    audioEncoder: costs.audioEncoder.macs,
    audioDecoder: costs.audioDecoder.macs,
    videoEncoder: costs.videoEncoder.macs,
    videoDecoder: costs.videoDecoder.macs,
    fusion: costs.fusion.macs,
  });
}

/** Mean over the epochs of a curriculum, 1 or more, unrounded: Table 5 row R3 is 60 epochs of 0.9 to 0.8. */
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

function totalled(parts: Omit<MacCounts, 'total'>): MacCounts {
  const { audioEncoder, audioDecoder, videoEncoder, videoDecoder, fusion } = parts;
  const total = audioEncoder + audioDecoder + videoEncoder + videoDecoder + fusion;
  return { ...parts, total };
}
