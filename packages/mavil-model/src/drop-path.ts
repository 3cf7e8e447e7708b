// SPDX-License-Identifier: Apache-2.0
// Stochastic depth [timm]: whole branches of a block are skipped for a clip, the more often the deeper the block.
import { ConfigError, fold, uniforms } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { BranchScales } from './blocks.ts';

/** Drop-path probability of each block, linear from 0 to `rate` over the depth [timm]. */
export function dropPathRates(depth: number, rate: number): number[] {
  return Array.from({ length: depth }, (_, i) => (depth === 1 ? rate : (rate * i) / (depth - 1)));
}

/** Throws ConfigError unless rate is in [0, 1) and, for one above 0, there is a key for each clip. */
export function checkDropPath(
  rate: number,
  keys: readonly Key[] | undefined,
  batch: number,
  where: string,
): void {
  if (!(rate >= 0 && rate < 1)) {
    throw new ConfigError(`${where}: expected dropPath in [0, 1), got ${rate}`);
  }
  if (rate > 0 && keys?.length !== batch) {
    const got = keys === undefined ? 'none' : String(keys.length);
    throw new ConfigError(`${where}: expected ${batch} keys for dropPath, got ${got}`);
  }
}

/**
 * Factors [batch] of the branches of blocks with the probabilities `rates`: 0 when dropped, else 1 / (1 - p). Block i of a clip takes
 * draws 2i, 2i + 1 of its key.
 */
export function dropPathScales(rates: readonly number[], keys: readonly Key[]): BranchScales[] {
  const draws = keys.map((key) => uniforms(fold(key, 'drop-path'), 2 * rates.length));
  return rates.map((p, i) => {
    const scale = (branch: number): tf.Tensor =>
      tf.tensor1d(draws.map((draw) => ((draw[2 * i + branch] ?? 1) < p ? 0 : 1 / (1 - p))));
    return { attention: scale(0), mlp: scale(1) };
  });
}
