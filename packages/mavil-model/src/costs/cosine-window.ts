// SPDX-License-Identifier: Apache-2.0
// What `cosineWindowBlock` costs: it is made of small ops, each of which keeps its inputs, so it keeps far more than other blocks.
import { biasHidden } from '../cosine-window.ts';
import { add, layerNorm, linear, tokensOf } from './ledger.ts';
import type { Buffer, CostModule, Ledger, Tokens } from './ledger.ts';

export interface CosineWindowCosts {
  readonly heads: number;
  readonly mlpRatio: number;
  /** Tokens of a window. */
  readonly windowTokens: number;
  /** Whether the block is shifted along some axis, and so has a mask. */
  readonly shifted: boolean;
}

/** One block: [batch, tokens, width] -> the same. */
export function cosineWindowBlock(
  ledger: Ledger,
  module: CostModule,
  x: Tokens,
  how: CosineWindowCosts,
): Tokens {
  const attended = layerNorm(ledger, windowAttention(ledger, module, x, how));
  const mixed = add(ledger, x, attended.buffer);
  const hidden = linear(ledger, module, mixed, how.mlpRatio * x.width);
  // The preactivation of GELU.
  ledger.keep(tokensOf(hidden.clips, hidden.count, hidden.width).buffer);
  const made = layerNorm(ledger, linear(ledger, module, hidden, x.width));
  return add(ledger, mixed, made.buffer);
}

function windowAttention(
  ledger: Ledger,
  module: CostModule,
  x: Tokens,
  how: CosineWindowCosts,
): Tokens {
  const { clips, count, width } = x;
  const { heads, windowTokens } = how;
  const like = (): Tokens => tokensOf(clips, count, width);
  const values = (columns: number): Buffer => tokensOf(clips, count, columns).buffer;
  const scores = (): Buffer => values(heads * windowTokens);

  const windows = like();
  const [q, k, v] = [values(width), values(width), values(width)];
  // A third of the projection each: rows of the weight are cut out, and reshape keeps what it reshapes.
  for (let part = 0; part < 3; part++) {
    ledger.keep({ values: width ** 2 }, linear(ledger, module, windows, width).buffer);
  }
  for (const side of [q, k]) {
    // Squares; their sum, that and its guard, the root.
    ledger.keepReduced(values(width));
    ledger.keep(side, values(heads), values(heads), values(heads), constant());
  }
  ledger.multiply(module, 2 * clips * count * windowTokens * width);
  // Products of norms, their maximum with its bound, products of q and k, cosines, cosines over temperatures; tau's bound and maximum.
  ledger.keep(scores(), scores(), constant(), scores(), scores(), scores());
  ledger.keep(constant(), { values: heads });
  keepPositionBias(ledger, module, how);
  if (how.shifted) ledger.keep(scores(), scores(), { values: count * windowTokens });
  ledger.keep(scores(), v);
  const projected = linear(ledger, module, like(), width);
  ledger.keep(values(1), values(1));
  return projected;
}

/** The MLP over the offsets within a window, once for the whole batch. */
function keepPositionBias(
  ledger: Ledger,
  module: CostModule,
  { heads, windowTokens }: CosineWindowCosts,
): void {
  const pairs = windowTokens ** 2;
  ledger.multiply(module, pairs * biasHidden * (2 + heads));
  // Offsets, the hidden layer before and after its ReLU, the bias.
  ledger.keep({ values: pairs * (2 + 2 * biasHidden + heads) });
}

function constant(): Buffer {
  return { values: 1 };
}
