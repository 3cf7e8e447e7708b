// SPDX-License-Identifier: Apache-2.0
// Sizes that weights alone do not tell: heads, grids, epsilons. They come from the source's config.json where it says
// them (in Hugging Face's words), else from what the published models have.
import type { ForeignWeights } from './foreign-weights.ts';

/** A number of the source's config.json under any of these names, or null. */
export function numberIn(weights: ForeignWeights, ...names: string[]): number | null {
  for (const name of names) {
    const value = weights.config[name];
    if (typeof value === 'number') return value;
    if (Array.isArray(value) && typeof value[0] === 'number') return value[0];
  }
  return null;
}

/** Two numbers of the source's config.json, or null. */
function pairIn(weights: ForeignWeights, name: string): [number, number] | null {
  const value = weights.config[name];
  if (!Array.isArray(value) || value.length !== 2) return null;
  return value.every((n) => typeof n === 'number') ? (value as [number, number]) : null;
}

/** [channels, rows, columns] of timm's `pretrained_cfg.input_size`, or null. */
export function timmInputSize(weights: ForeignWeights): readonly number[] | null {
  const settings = weights.config['pretrained_cfg'];
  if (typeof settings !== 'object' || settings === null) return null;
  const size = (settings as Record<string, unknown>)['input_size'];
  return Array.isArray(size) && size.every((n) => typeof n === 'number') ? size : null;
}

/** Heads of the encoder: as config.json says, else 64 values a head, 80 in a ViT-Huge. */
export function encoderHeads(weights: ForeignWeights, width: number): number {
  const told = numberIn(weights, 'num_attention_heads', 'num_heads');
  if (told !== null) return told;
  const perHead = width === 1280 ? 80 : 64;
  if (width % perHead === 0) return width / perHead;
  return weights.fail(
    `"num_attention_heads" in a config.json beside weights of width ${width}`,
    'none',
  );
}

/** Heads of the decoder: as config.json says, else 32 values a head, 64 in a width that has no 32. */
export function decoderHeads(weights: ForeignWeights, width: number, perHead: number): number {
  const told = numberIn(weights, 'decoder_num_attention_heads', 'decoder_num_heads');
  if (told !== null) return told;
  if (width % perHead === 0) return width / perHead;
  return weights.fail(
    `"decoder_num_attention_heads" in a config.json beside decoder weights of width ${width}`,
    'none',
  );
}

/** Side of a square of `tokens` places. */
export function squareSide(weights: ForeignWeights, tokens: number, where: string): number {
  const side = Math.round(Math.sqrt(tokens));
  if (side * side === tokens) return side;
  return weights.fail(`a square number of positions in ${where}`, String(tokens));
}

export interface AudioSize {
  readonly frames: number;
  readonly mels: number;
  /** Rows (time) and columns (frequency) of tokens. */
  readonly times: number;
  readonly frequencies: number;
}

/** The spectrogram of `tokens` positions: its mels (128 unless config.json says else) give its frames. */
export function audioSize(
  weights: ForeignWeights,
  tokens: number,
  patch: number,
  stride: number,
): AudioSize {
  const timm = timmInputSize(weights);
  const [rows, columns] = pairIn(weights, 'image_size') ?? [timm?.[1], timm?.[2]];
  const mels = numberIn(weights, 'num_mel_bins') ?? columns ?? 128;
  const along = (length: number): number => Math.floor((length - patch) / stride) + 1;
  const frequencies = along(mels);
  const times = tokens / frequencies;
  if (!Number.isInteger(times)) {
    weights.fail(
      `positions on a grid of ${frequencies} frequencies ("num_mel_bins" ${mels}, patch ${patch}, stride ${stride})`,
      `${tokens} positions`,
    );
  }
  const least = (times - 1) * stride + patch;
  const told = numberIn(weights, 'max_length') ?? rows ?? null;
  const frames = told !== null && along(told) === times ? told : Math.ceil(least / patch) * patch;
  return { frames, mels, times, frequencies };
}
