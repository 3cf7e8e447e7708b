// SPDX-License-Identifier: Apache-2.0
// The costs of the decoders and of their reconstruction losses, op by op as `decode` runs them.
import { patchValues, targetPatchValues, targetValues, tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import { windowAttention } from '../audio-decoder.ts';
import { shownModality } from '../decoder.ts';
import { classTokens } from '../encoder.ts';
import type { PerModality } from '../fusion.ts';
import { cosineWindowBlock } from './cosine-window.ts';
import {
  block,
  concat,
  diffusedLinear,
  layerNorm,
  linear,
  placeTokens,
  repeatToken,
  scalar,
  slice,
  tokensOf,
} from './ledger.ts';
import type { Ledger, Tokens } from './ledger.ts';
import type { TracedSplit } from './pass.ts';

/** What the decoder of one modality reads. */
interface Input {
  readonly modality: Modality;
  /** Fused tokens whose visible ones it reads, class tokens included. */
  readonly fused: Tokens;
  /** Visible tokens among them, without class tokens. */
  readonly shown: Tokens;
  /** Indices of shown and masked tokens. */
  readonly shownOrder: Tokens;
  readonly masked: Tokens;
}

/** Decoders and their losses, a scalar for each modality. */
export function traceDecoders(
  config: ModelConfig,
  ledger: Ledger,
  fused: PerModality<Tokens>,
  split: PerModality<TracedSplit>,
): Tokens[] {
  const inputs = (['audio', 'video'] as const).flatMap((modality): Input[] => {
    const own = split[modality];
    if (own === undefined) return [];
    const source = shownModality(config, modality);
    const tokens = fused[source] as Tokens;
    const order = (split[source] as TracedSplit).visible;
    const inFront = classTokens(config);
    const shown = inFront === 0 ? tokens : slice(ledger, tokens, tokens.count - inFront);
    return [{ modality, fused: tokens, shown, shownOrder: order, masked: own.masked }];
  });
  const decoded =
    config.decoder.sharing === 'joint'
      ? decodeJointly(config, ledger, inputs)
      : inputs.map((input) => decodeOne(config, ledger, input));
  return inputs.map(({ modality }, i) => {
    const x = layerNorm(ledger, decoded[i] as Tokens);
    const values = targetValues(config, modality);
    const predicted = linear(ledger, `${modality}Decoder`, x, values);
    // The loss keeps prediction minus target.
    ledger.keep(tokensOf(ledger.batch, predicted.count, values).buffer);
    return scalar();
  });
}

/** Masked tokens after all blocks. */
function decodeOne(config: ModelConfig, ledger: Ledger, input: Input): Tokens {
  const { audioAttention, videoAttention } = config.decoder;
  if (input.modality === 'video') {
    return videoAttention === 'cross'
      ? attendAcross(config, ledger, input)
      : attendToAll(config, ledger, input);
  }
  return audioAttention === 'global'
    ? attendToAll(config, ledger, input)
    : attendInWindows(config, ledger, input);
}

function decodeJointly(config: ModelConfig, ledger: Ledger, inputs: readonly Input[]): Tokens[] {
  const parts = inputs.map((input) => [
    shownTokens(config, ledger, input),
    maskedTokens(config, ledger, input),
  ]);
  let x = concat(ledger, parts.flat());
  const shares = inputs.map(
    ({ modality }, i) => [`${modality}Decoder` as const, countOf(parts[i] ?? [])] as const,
  );
  for (let i = 0; i < config.decoder.depth; i++) x = block(ledger, shares, x, all(config, x));
  return inputs.map(({ masked }) => slice(ledger, x, masked.count));
}

function attendToAll(config: ModelConfig, ledger: Ledger, input: Input): Tokens {
  const module = `${input.modality}Decoder` as const;
  const seen = shownTokens(config, ledger, input);
  const hidden = maskedTokens(config, ledger, input);
  let x = concat(ledger, [seen, hidden, ...classTokensOf(config, ledger, input)]);
  for (let i = 0; i < config.decoder.depth; i++) {
    x = block(ledger, [[module, x.count]], x, all(config, x));
  }
  return slice(ledger, x, hidden.count);
}

function attendInWindows(config: ModelConfig, ledger: Ledger, input: Input): Tokens {
  const { depth, window, audioAttention } = config.decoder;
  const seen = shownTokens(config, ledger, input);
  const hidden = maskedTokens(config, ledger, input);
  concat(ledger, [seen, hidden]);
  const tokens = tokenCount(config, 'audio');
  let x = tokensOf(ledger.batch, tokens, config.decoder.width);
  const { heads, mlpRatio } = all(config, x);
  const windowTokens = window[0] * window[1];
  for (let i = 0; i < depth; i++) {
    const attention = windowAttention(config, i);
    const shifted = 'shift' in attention && attention.shift.some((by) => by > 0);
    x =
      audioAttention === 'cosine-window'
        ? cosineWindowBlock(ledger, 'audioDecoder', x, { heads, mlpRatio, windowTokens, shifted })
        : block(ledger, [['audioDecoder', tokens]], x, { heads, mlpRatio, keys: windowTokens });
  }
  // Scattering and gathering keep their indices.
  ledger.keep(tokensOf(ledger.batch, tokens, 1).buffer, input.masked.buffer);
  return tokensOf(ledger.batch, input.masked.count, config.decoder.width);
}

function attendAcross(config: ModelConfig, ledger: Ledger, input: Input): Tokens {
  let x = maskedTokens(config, ledger, input);
  const context = layerNorm(ledger, shownTokens(config, ledger, input));
  const how = { ...all(config, x), keys: context.count, context };
  for (let i = 0; i < config.decoder.depth; i++) {
    x = block(ledger, [['videoDecoder', x.count]], x, how);
  }
  return x;
}

function shownTokens(config: ModelConfig, ledger: Ledger, input: Input): Tokens {
  const { decoder } = config;
  const embedded = linear(ledger, `${input.modality}Decoder`, input.shown, decoder.width);
  return placeTokens(ledger, decoder, embedded, input.shownOrder.buffer);
}

function maskedTokens(config: ModelConfig, ledger: Ledger, { modality, masked }: Input): Tokens {
  const { decoder } = config;
  const x =
    config.masked.kind === 'diffused'
      ? embedDiffused(config, ledger, modality, masked)
      : repeatToken(ledger, ledger.batch, masked.count, decoder.width);
  return placeTokens(ledger, decoder, x, masked.buffer);
}

function embedDiffused(
  config: ModelConfig,
  ledger: Ledger,
  modality: Modality,
  masked: Tokens,
): Tokens {
  const values = targetPatchValues(config, modality);
  // Single frames of a patch are rows of their own.
  const whole = values === patchValues(config, modality);
  const rows = whole ? masked : tokensOf(ledger.batch, masked.count, 1);
  return diffusedLinear(ledger, `${modality}Decoder`, rows, values, config.decoder.width);
}

function classTokensOf(config: ModelConfig, ledger: Ledger, input: Input): Tokens[] {
  const { classToken, width } = config.decoder;
  if (classToken === 'learned') return [repeatToken(ledger, ledger.batch, 1, width)];
  if (classToken === 'none') return [];
  const tokens = slice(ledger, input.fused, classTokens(config));
  return [linear(ledger, `${input.modality}Decoder`, tokens, width)];
}

/** Attention to all tokens of x at decoder sizes. */
function all(
  { decoder, encoder }: ModelConfig,
  x: Tokens,
): { keys: number; heads: number; mlpRatio: number } {
  return { keys: x.count, heads: decoder.heads, mlpRatio: encoder.mlpRatio };
}

function countOf(parts: readonly Tokens[]): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}
