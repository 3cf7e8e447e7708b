// SPDX-License-Identifier: Apache-2.0
// Which tokens are visible: a random permutation whose first K tokens are seen, the next K are the second
// view, and all from K on are masked [MAE §3], [MAViL §3.2].
import { ConfigError, permutation } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';

/**
 * Visible tokens of `tokens` at mask ratio `ratio` in [0, 1): floor(tokens (1 - ratio) + 1e-9).
 * Choice: floor, as every public MAE code; the papers round (313 here, 314 there, of 1568 at 0.8).
 */
export function visibleCount(tokens: number, ratio: number): number {
  if (!(ratio >= 0 && ratio < 1)) {
    throw new ConfigError(`visibleCount: expected a mask ratio in [0, 1), got ${ratio}`);
  }
  return Math.floor(tokens * (1 - ratio) + 1e-9);
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
  tokens: number,
  ratio: number,
  secondView: boolean,
  where: string,
): number {
  const visible = visibleCount(tokens, ratio);
  if (visible < 1 || visible >= tokens) {
    throw new ConfigError(
      `${where}: expected a mask ratio that leaves visible and masked tokens of ${tokens}, got ${ratio}`,
    );
  }
  if (secondView && 2 * visible > tokens) {
    throw new ConfigError(
      `${where}: expected a mask ratio of at least 0.5, so that two views of ${tokens} tokens do not overlap, got ${ratio}. ` +
        'Try: set loss.intraWeight to 0, which needs no second view',
    );
  }
  return visible;
}
