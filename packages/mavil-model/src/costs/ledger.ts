// SPDX-License-Identifier: Apache-2.0
// What the ops of the model cost: matrix products they run forward and backward, and buffers the tape keeps for their gradients.
// Each function here stands for the op of its name, on shapes instead of tensors; what it keeps is what its gradient saves.
//
// A product that only repeats or adds up (one side has length 1) is no matrix product. Weights are not kept: they are there anyway.

/** Where a product belongs. */
export type CostModule =
  | 'audioEncoder'
  | 'audioDecoder'
  | 'videoEncoder'
  | 'videoDecoder'
  | 'fusion'
  | 'contrast';

/**
 * Whose gradients: 'native' is diffmavil-cpu; 'tfjs' is tfjs's cpu backend, whose sums and means keep their input. What tfjs's wasm
 * backend keeps is not counted: its Identity copies, so that there each op keeps a copy of its own, also of weights.
 */
export type CostBackend = 'native' | 'tfjs';

/** A tensor's memory; its identity is what counts, as one buffer may be kept by several ops. */
export interface Buffer {
  /** Elements of 4 bytes. */
  readonly values: number;
}

/** A tensor [clips, count, width]; `reshape` gives another one on the same buffer. */
export interface Tokens {
  readonly clips: number;
  readonly count: number;
  readonly width: number;
  readonly buffer: Buffer;
}

/** Multiply-accumulates of the whole batch. */
export interface ProductCosts {
  readonly forward: number;
  /** Of gradients alone. */
  readonly backward: number;
  /** What the backward pass runs a second time instead of keeping it: attention scores. */
  readonly recomputed: number;
}

export interface Ledger {
  readonly batch: number;
  readonly products: Readonly<Record<CostModule, ProductCosts>>;
  /** Elements of all buffers kept. */
  readonly keptValues: () => number;
  /** Adds products of one op: `gradients` is how many times as many its backward pass has. */
  readonly multiply: (
    module: CostModule,
    macs: number,
    gradients?: number,
    recomputed?: number,
  ) => void;
  readonly keep: (...buffers: readonly Buffer[]) => void;
  /** Keeps what a sum or mean reads, where the backend's gradient of those saves it. */
  readonly keepReduced: (x: Buffer) => void;
  /** The same ledger for what no loss depends on: forward products only. */
  readonly idle: Ledger;
}

/** An empty ledger for batches of this many clips. */
export function openLedger(batch: number, backend: CostBackend): Ledger {
  const products = emptyProducts();
  const kept = new Set<Buffer>();
  const keptValues = (): number => [...kept].reduce((sum, { values }) => sum + values, 0);
  const idle: Ledger = {
    batch,
    products,
    keptValues,
    multiply: (module, macs) => {
      products[module].forward += macs;
    },
    keep: () => {},
    keepReduced: () => {},
    get idle() {
      return idle;
    },
  };
  const keep = (...buffers: readonly Buffer[]): void => {
    for (const buffer of buffers) kept.add(buffer);
  };
  return {
    ...idle,
    idle,
    keep,
    keepReduced: (x) => {
      if (backend === 'tfjs') keep(x);
    },
    multiply: (module, macs, gradients = 2, recomputed = 0) => {
      products[module].forward += macs;
      products[module].backward += gradients * macs;
      products[module].recomputed += recomputed;
    },
  };
}

function emptyProducts(): Record<CostModule, { -readonly [K in keyof ProductCosts]: number }> {
  const none = { forward: 0, backward: 0, recomputed: 0 };
  return {
    audioEncoder: { ...none },
    audioDecoder: { ...none },
    videoEncoder: { ...none },
    videoDecoder: { ...none },
    fusion: { ...none },
    contrast: { ...none },
  };
}

/** Tokens in a buffer of their own. */
export function tokensOf(clips: number, count: number, width: number): Tokens {
  return { clips, count, width, buffer: { values: clips * count * width } };
}

/** `tf.reshape`, which keeps what it reshapes. */
export function reshape(ledger: Ledger, x: Tokens, clips: number, count: number): Tokens {
  ledger.keep(x.buffer);
  return { ...x, clips, count };
}

/** `linear` of tokens; patches are data and get no gradient. */
export function linear(
  ledger: Ledger,
  module: CostModule,
  x: Tokens,
  outWidth: number,
  isData: boolean = false,
): Tokens {
  ledger.keep(x.buffer);
  ledger.multiply(module, x.buffer.values * outWidth, isData ? 1 : 2);
  return tokensOf(x.clips, x.count, outWidth);
}

/**
 * `diffusedLinear` of `values` values a masked patch: x_t is made again for the gradient of the weight, from the patches, which are input,
 * their indices, and two factors a clip.
 */
export function diffusedLinear(
  ledger: Ledger,
  module: CostModule,
  indices: Tokens,
  values: number,
  outWidth: number,
): Tokens {
  const { clips, count } = indices;
  ledger.keep(indices.buffer, tokensOf(clips, 1, 1).buffer, tokensOf(clips, 1, 1).buffer);
  ledger.multiply(module, clips * count * values * outWidth, 1);
  return tokensOf(clips, count, outWidth);
}

/** `layerNorm`: its input, a mean and a deviation for each token. */
export function layerNorm(ledger: Ledger, x: Tokens): Tokens {
  ledger.keep(x.buffer, tokensOf(x.clips, x.count, 2).buffer);
  return tokensOf(x.clips, x.count, x.width);
}

/** `tf.add` of tokens and another buffer, null for a weight. */
export function add(ledger: Ledger, x: Tokens, other: Buffer | null): Tokens {
  ledger.keep(x.buffer, ...(other === null ? [] : [other]));
  return tokensOf(x.clips, x.count, x.width);
}

/** `tf.concat` along the tokens; of one list it is the list. */
export function concat(ledger: Ledger, parts: readonly Tokens[]): Tokens {
  const [first] = parts;
  if (first === undefined) throw new Error('costs: expected tokens to concatenate, got none');
  if (parts.length === 1) return first;
  ledger.keep(...parts.map(({ buffer }) => buffer));
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  return tokensOf(first.clips, count, first.width);
}

/** `tf.slice` of so many tokens. */
export function slice(ledger: Ledger, x: Tokens, count: number): Tokens {
  ledger.keep(x.buffer);
  return tokensOf(x.clips, count, x.width);
}

/** A learned token, `count` times for every clip: zeros plus the weight. */
export function repeatToken(ledger: Ledger, clips: number, count: number, width: number): Tokens {
  return add(ledger, tokensOf(clips, count, width), null);
}

/** `placeTokens`: positions and the modality token added. */
export function placeTokens(
  ledger: Ledger,
  part: { readonly positions: 'sincos' | 'learned'; readonly modalityToken: boolean },
  x: Tokens,
  order: Buffer,
): Tokens {
  // Rows of a learned table are gathered by indices that their gradient needs.
  if (part.positions === 'learned') ledger.keep(order);
  const placed = add(ledger, x, tokensOf(x.clips, x.count, x.width).buffer);
  return part.modalityToken ? add(ledger, placed, null) : placed;
}

/** A loss. */
export function scalar(): Tokens {
  return tokensOf(1, 1, 1);
}

/** Attention of a block: keys one query sees, and heads. */
export interface BlockCosts {
  readonly keys: number;
  readonly heads: number;
  readonly mlpRatio: number;
  /** Context tokens [batch, keys, width], for cross-attention. */
  readonly context?: Tokens;
}

/** How many of the tokens belong to which module, when several share a block. */
export type Shares = readonly (readonly [module: CostModule, count: number])[];

/** `attentionBranch` and `mlpBranch`: one pre-norm block. */
export function block(ledger: Ledger, shares: Shares, x: Tokens, how: BlockCosts): Tokens {
  const { keys, heads, mlpRatio, context } = how;
  const { clips, count, width } = x;
  const own = context === undefined ? 4 : 2;
  for (const [module, tokens] of shares) {
    const scores = clips * tokens * keys * width;
    const projections = own * clips * tokens * width ** 2;
    const mlp = 2 * mlpRatio * clips * tokens * width ** 2;
    const contextual = context === undefined ? 0 : 2 * clips * keys * width ** 2;
    ledger.multiply(module, projections + contextual + 2 * scores + mlp, 2, scores);
  }
  const kept = (tokens: number, columns: number): Buffer => tokensOf(clips, tokens, columns).buffer;
  // Mean and deviation, log-sum-exp of each head, attended values, then queries, keys and values.
  ledger.keep(x.buffer, kept(count, 2 + heads + width));
  if (context === undefined) ledger.keep(kept(count, 3 * width));
  else ledger.keep(context.buffer, kept(count, width), kept(keys, 2 * width));
  ledger.keep(kept(count, width), kept(count, 2), kept(count, mlpRatio * width));
  return tokensOf(clips, count, width);
}
