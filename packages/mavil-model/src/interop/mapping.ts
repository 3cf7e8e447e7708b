// SPDX-License-Identifier: Apache-2.0
// What a file of each format is turned into, before it is checked against our own model.
import type { Modality, PartialModelConfig } from '../config.ts';
import type { Preprocessor } from '../preprocessor.ts';
import type { Inflation } from './arrays.ts';
import type { MappedWeights } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';

export interface ConvertOptions {
  /**
   * Which modality to make. An image model becomes a video model of one frame unless this says otherwise; of a model of
   * both modalities only this one is kept. Default: what the file is.
   */
  readonly as?: 'audio' | 'video';
  /** How image patches become patches of several frames; default 'average', which keeps what still pictures give. */
  readonly inflate?: Inflation;
}

export interface Mapping {
  readonly config: PartialModelConfig;
  readonly weights: MappedWeights;
  /** Where the source's inputs differ from our defaults. */
  readonly audio?: Partial<NonNullable<Preprocessor['audio']>>;
  readonly video?: Partial<NonNullable<Preprocessor['video']>>;
  /** Classes of the head, or null without one. */
  readonly classes: number | null;
}

/** One kind of file. */
export interface Format {
  readonly name: string;
  /** Whether the names of the weights are this format's. */
  recognize(weights: ForeignWeights): boolean;
  map(weights: ForeignWeights, options: ConvertOptions): Mapping;
}

/** Loss settings that all one-modality sources share. */
export const withoutContrast: { readonly interWeight: 0; readonly intraWeight: 0 } = {
  interWeight: 0,
  intraWeight: 0,
};

/** Frames 4 apart at 30 a second, as VideoMAE and SpatiotemporalMAE sample Kinetics: 16 of them span this. */
export const kineticsSeconds: number = 64 / 30;

/** Refuses `--as` where the file leaves no choice. */
export function refuseOther(
  weights: ForeignWeights,
  { as }: ConvertOptions,
  modality: 'audio' | 'video',
): void {
  if (as !== undefined && as !== modality) {
    weights.fail(`a model that can be converted to ${as}`, `one of ${modality}`);
  }
}

/** Three numbers of the source's settings under a name, or null. */
export function triple(value: unknown): [number, number, number] | null {
  if (!Array.isArray(value) || value.length !== 3) return null;
  return value.every((n) => typeof n === 'number') ? (value as [number, number, number]) : null;
}

/** Means and deviations of pixels, from preprocessor_config.json or timm's settings. */
export function pixelStatistics({
  config,
  preprocessor,
}: ForeignWeights): Partial<NonNullable<Preprocessor['video']>> {
  const timm = (config['pretrained_cfg'] ?? {}) as Record<string, unknown>;
  const mean = triple(preprocessor['image_mean']) ?? triple(timm['mean']);
  const std = triple(preprocessor['image_std']) ?? triple(timm['std']);
  return { ...(mean && { mean }), ...(std && { std }) };
}

/** The input sections of a configuration. */
export type InputSections = Pick<Mapping['config'], 'audio' | 'video'>;

/** The sections of a configuration that encoders brought; null where none did. */
export function joined(sections: readonly InputSections[]): InputSections {
  return {
    audio: sections.find(({ audio }) => audio)?.audio ?? null,
    video: sections.find(({ video }) => video)?.video ?? null,
  };
}

/** The modalities to make of an audio-visual source. */
export function wanted({ as }: ConvertOptions): readonly Modality[] {
  return as === undefined ? ['audio', 'video'] : [as];
}
