// SPDX-License-Identifier: Apache-2.0
// Stochastic depth [timm]: whole branches of a block are skipped for a clip, the more often the deeper the block. The factors are drawn before
// the forward pass, so that the pass itself is a function of tensors alone.
import { ConfigError, ShapeError, fold, formatShape, uniforms } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { BranchScales } from './blocks.ts';
import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { PerModality } from './fusion.ts';
import type { ClassifierInput } from './parameter-entries.ts';

/** Drop-path factors, [batch] each, of the blocks that a classifier's clips pass. */
export interface ClassifierDrops {
  /** Of each encoder that is read: encoder.depth blocks. */
  readonly encoders: PerModality<readonly BranchScales[]>;
  /** Of a fusion: fusion.depth blocks, of each modality through a bottleneck; under audio those of blocks over both. */
  readonly fusion: PerModality<readonly BranchScales[]>;
}

/**
 * Draws the drop-path factors of a batch: 0 where a branch is skipped for a clip, else 1 / (1 - p) with the probability p of its block.
 * Choice: p rises linearly from 0 over the encoder's blocks, and the blocks of a joint fusion, which come after, all take the full rate; a
 * fusion through a bottleneck continues the encoders, and so does the rise.
 *
 * @param input What the classifier reads: 'both' is for `audioVideoClassifierForward`.
 * @param rate p of the last block, 0..1 (1 excluded)
 * @param keys One of each clip
 * @returns tensors [batch] for the option `drops` of the forward pass, null with rate 0; the caller disposes them.
 * @throws ConfigError when the rate is outside its range.
 */
export function classifierDrops(
  config: ModelConfig,
  input: ClassifierInput,
  rate: number,
  keys: readonly Key[],
): ClassifierDrops | null {
  if (!(rate >= 0 && rate < 1)) {
    throw new ConfigError(`classifierDrops: expected a rate in [0, 1), got ${rate}`);
  }
  if (rate === 0) return null;
  if (input !== 'both') {
    const rates = dropPathRates(config.encoder.depth, rate);
    return { encoders: { [input]: dropPathScales(rates, keys) }, fusion: {} };
  }
  const plan = dropPathPlan(config, rate);
  const drawn = (
    of: readonly Modality[],
    rates: readonly number[],
    ...data: string[]
  ): PerModality<BranchScales[]> =>
    Object.fromEntries(
      of.map((m) => [
        m,
        dropPathScales(
          rates,
          keys.map((key) => fold(key, ...data, m)),
        ),
      ]),
    );
  return {
    encoders: drawn(modalities(config), plan.encoder),
    fusion: drawn(fusionStacks(config), plan.fusion, 'fusion'),
  };
}

/**
 * Whether `drops` are those of a classifier of `input` and of `batch` clips.
 * @throws ShapeError when blocks or clips are others than expected; `where` opens the sentence.
 */
export function checkDrops(
  config: ModelConfig,
  input: ClassifierInput,
  { encoders, fusion }: ClassifierDrops,
  batch: number,
  where: string,
): void {
  const { depth } = config.encoder;
  const read = input === 'both' ? modalities(config) : [input];
  for (const m of read) checkScales(encoders[m], depth, batch, `${where}: drops.encoders.${m}`);
  if (input !== 'both') return;
  for (const m of fusionStacks(config))
    checkScales(fusion[m], config.fusion.depth, batch, `${where}: drops.fusion.${m}`);
}

function checkScales(
  scales: readonly BranchScales[] = [],
  blocks: number,
  batch: number,
  where: string,
): void {
  if (scales.length !== blocks) {
    throw new ShapeError(
      `${where}: expected factors of ${blocks} blocks, got those of ${scales.length}`,
    );
  }
  for (const { shape } of scales.flatMap(({ attention, mlp }) => [attention, mlp])) {
    if (shape.length !== 1 || shape[0] !== batch) {
      throw new ShapeError(
        `${where}: expected factors of ${batch} clips, [${batch}], got ${formatShape(shape)}`,
      );
    }
  }
}

/** Whose factors the fusion's blocks take. */
function fusionStacks({ fusion: { kind } }: ModelConfig): readonly Modality[] {
  switch (kind) {
    case 'none':
      return [];
    case 'joint':
    case 'modality-norms':
      return ['audio'];
    case 'bottleneck':
      return ['audio', 'video'];
    default:
      return kind satisfies never;
  }
}

/** Drop-path probability of each block, linear from 0 to `rate` over the depth [timm]. */
export function dropPathRates(depth: number, rate: number): number[] {
  return Array.from({ length: depth }, (_, i) => (depth === 1 ? rate : (rate * i) / (depth - 1)));
}

/** Drop-path probabilities of the blocks of each encoder, and of the fusion. */
function dropPathPlan(
  { encoder, fusion }: ModelConfig,
  rate: number,
): { readonly encoder: readonly number[]; readonly fusion: readonly number[] } {
  if (fusion.kind === 'bottleneck') {
    const rates = dropPathRates(encoder.depth + fusion.depth, rate);
    return { encoder: rates.slice(0, encoder.depth), fusion: rates.slice(encoder.depth) };
  }
  const last = Array.from({ length: fusion.depth }, () => rate);
  return { encoder: dropPathRates(encoder.depth, rate), fusion: last };
}

/**
 * Factors [batch] of the branches of blocks with the probabilities `rates`: 0 when dropped, else 1 / (1 - p). Block i of a clip takes
 * draws 2i, 2i + 1 of its key.
 */
function dropPathScales(rates: readonly number[], keys: readonly Key[]): BranchScales[] {
  const draws = keys.map((key) => uniforms(fold(key, 'drop-path'), 2 * rates.length));
  return rates.map((p, i) => {
    const scale = (branch: number): tf.Tensor =>
      tf.tensor1d(draws.map((draw) => ((draw[2 * i + branch] ?? 1) < p ? 0 : 1 / (1 - p))));
    return { attention: scale(0), mlp: scale(1) };
  });
}
