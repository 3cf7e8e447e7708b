// SPDX-License-Identifier: Apache-2.0
// Which tokens are visible: a permutation whose first K tokens are seen, the next K are a second view disjoint
// from the first, and all from K on are masked [MAE §3], [MAViL §3.2]. Spectrograms may be masked by whole rows
// and columns [AudioMAE].
import { ConfigError, fold, permutation } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import { maskRatio } from '@diffmavil/schedulers';
import type { MaskRatioCurriculum } from '@diffmavil/schedulers';

import { tokenCount, tokenGrid } from './config.ts';
import type { MaskingConfig, Modality, ModelConfig } from './config.ts';
import type { PerModality } from './fusion.ts';

/** One mask ratio for all modalities, or one for each [Audiovisual MAE: audio 0.7, video 0.9]. */
export type MaskRatios = number | PerModality<number>;

/** How mask ratios change over the epochs: for all modalities alike, or for each its own. */
export type MaskCurricula =
  | MaskRatioCurriculum
  | { readonly audio: MaskRatioCurriculum; readonly video: MaskRatioCurriculum };

/** Mask ratios of epoch 0..epochs - 1. */
export function maskRatiosAt(curricula: MaskCurricula, epoch: number, epochs: number): MaskRatios {
  if ('kind' in curricula) return maskRatio(curricula, epoch, epochs);
  const { audio, video } = curricula;
  return { audio: maskRatio(audio, epoch, epochs), video: maskRatio(video, epoch, epochs) };
}

/** The mask ratio of one modality. Throws ConfigError when there is none for it. */
export function maskRatioOf(ratios: MaskRatios, modality: Modality): number {
  const ratio = typeof ratios === 'number' ? ratios : ratios[modality];
  if (ratio === undefined) {
    throw new ConfigError(`maskRatio: expected a ratio for ${modality}, got none`);
  }
  return ratio;
}

/**
 * Visible tokens of `tokens` at mask ratio `ratio` in [0, 1): floor(tokens (1 - ratio) + 1e-9), or the nearest
 * whole number, halves up. Choice: floor, as every public MAE code; the papers round (313 here, 314 there, of 1568 at 0.8).
 */
export function visibleCount(
  tokens: number,
  ratio: number,
  rounding: MaskingConfig['rounding'] = 'floor',
): number {
  if (!(ratio >= 0 && ratio < 1)) {
    throw new ConfigError(`visibleCount: expected a mask ratio in [0, 1), got ${ratio}`);
  }
  const half = rounding === 'nearest' ? 0.5 : 0;
  return Math.floor(tokens * (1 - ratio) + half + 1e-9);
}

/** Rows and columns of the spectrogram's grid that are kept at mask ratio `ratio`. */
function keptOfGrid(config: ModelConfig, ratio: number): { rows: number; columns: number } {
  const { audio: pattern, rounding } = config.masking;
  const [rows = 1, columns = 1] = tokenGrid(config, 'audio');
  // Choice: one ratio for both axes, so that rows x columns is about tokens (1 - ratio); AudioMAE sets two.
  const each = pattern === 'time-frequency' ? 1 - Math.sqrt(1 - ratio) : ratio;
  return {
    rows: pattern === 'frequency' ? rows : visibleCount(rows, each, rounding),
    columns: pattern === 'time' ? columns : visibleCount(columns, each, rounding),
  };
}

/** Tokens of one modality that stay visible at mask ratio `ratio` in [0, 1). */
export function visibleTokenCount(config: ModelConfig, modality: Modality, ratio: number): number {
  const { audio: pattern, rounding } = config.masking;
  if (modality === 'video' || pattern === 'random') {
    return visibleCount(tokenCount(config, modality), ratio, rounding);
  }
  const { rows, columns } = keptOfGrid(config, ratio);
  return rows * columns;
}

/**
 * A permutation of a modality's tokens, a pure function of the key: the `visibleTokenCount` visible ones first.
 * `ratio` matters to structured masks only.
 */
export function drawMask(
  config: ModelConfig,
  modality: Modality,
  ratio: number,
  key: Key,
): Int32Array {
  const order = maskOrder(key, tokenCount(config, modality));
  if (modality === 'video' || config.masking.audio === 'random') return order;
  const [rows = 1, columns = 1] = tokenGrid(config, 'audio');
  const kept = keptOfGrid(config, ratio);
  const keptRows = new Set(maskOrder(fold(key, 'rows'), rows).slice(0, kept.rows));
  const keptColumns = new Set(maskOrder(fold(key, 'columns'), columns).slice(0, kept.columns));
  const isKept = (token: number): boolean =>
    keptRows.has(Math.floor(token / columns)) && keptColumns.has(token % columns);
  return Int32Array.from([...order.filter(isKept), ...order.filter((token) => !isKept(token))]);
}

/** A permutation of 0..tokens-1, a pure function of the key. */
export function maskOrder(key: Key, tokens: number): Int32Array {
  return permutation(key, tokens);
}

/**
 * Visible tokens for a pre-training pass, checked: at least one visible, at least one masked, and 2K <= tokens
 * when a second view, disjoint from the first, is drawn from the same order.
 */
export function pretrainVisibleCount(
  config: ModelConfig,
  modality: Modality,
  ratio: number,
  where: string,
): number {
  const tokens = tokenCount(config, modality);
  const visible = ratio >= 0 && ratio < 1 ? visibleTokenCount(config, modality, ratio) : 0;
  if (visible < 1 || visible >= tokens) {
    throw new ConfigError(
      `${where}: expected a mask ratio that leaves visible and masked tokens of ${tokens}, got ${ratio}`,
    );
  }
  const disjoint = config.loss.intraWeight > 0 && config.masking.secondView === 'disjoint';
  if (disjoint && 2 * visible > tokens) {
    throw new ConfigError(
      `${where}: expected a mask ratio of at least 0.5, so that two views of ${tokens} tokens do not overlap, got ${ratio}. ` +
        "Try: set loss.intraWeight to 0, which needs no second view, or masking.secondView to 'independent'",
    );
  }
  return visible;
}
