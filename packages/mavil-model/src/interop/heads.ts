// SPDX-License-Identifier: Apache-2.0
// Classification heads: a LayerNorm and a linear layer on one vector of a clip.
import type { ClassifierConfig, Modality } from '../config.ts';
import type { MappedWeights } from './blocks.ts';
import { mapLinear, mapNorm } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';

/** Where a source keeps its head, and what the head reads. */
export interface Head extends Pick<ClassifierConfig, 'pooling' | 'finalNorm'> {
  readonly norm: string;
  readonly linear: string;
}

/** Maps a head to ours; returns its number of classes. */
export function mapHead(
  weights: ForeignWeights,
  { norm, linear }: Pick<Head, 'norm' | 'linear'>,
  mapped: MappedWeights,
  to: `${Modality}_head` | 'av_head',
): number {
  mapNorm(weights, norm, mapped, `${to}.norm`);
  mapLinear(weights, linear, mapped, `${to}.linear`);
  return weights.shapeOf(`${linear}.weight`)[0] ?? 0;
}
