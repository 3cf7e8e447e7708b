// SPDX-License-Identifier: Apache-2.0
// The costs of one pre-training pass, op by op as `pretrainForward` runs them; a test holds the two together.
import { modalities, patchValues, tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import { classTokens } from '../encoder.ts';
import { mapPresent } from '../fusion.ts';
import type { PerModality } from '../fusion.ts';
import { maskRatioOf, visibleTokenCount } from '../masking.ts';
import type { MaskRatios } from '../masking.ts';
import { traceDecoders } from './decoders.ts';
import {
  add,
  block,
  concat,
  layerNorm,
  linear,
  openLedger,
  placeTokens,
  repeatToken,
  reshape,
  scalar,
  slice,
  tokensOf,
} from './ledger.ts';
import type { CostBackend, Ledger, Shares, Tokens } from './ledger.ts';

/** Indices of a modality's visible and masked tokens. */
export interface TracedSplit {
  readonly visible: Tokens;
  readonly masked: Tokens;
}

/** Products and kept buffers of one pass over `batch` clips. */
export function tracePass(
  config: ModelConfig,
  ratios: MaskRatios,
  batch: number,
  backend: CostBackend = 'native',
): Ledger {
  const ledger = openLedger(batch, backend);
  const split = traceSplit(config, ratios, ledger);
  const { interWeight, intraWeight } = config.loss;
  const both = modalities(config).length === 2;
  const contrasted = intraWeight > 0 || (both && interWeight > 0);

  const views = intraWeight > 0 ? 2 : 1;
  const all = mapPresent(split, ({ visible }, m) =>
    traceEncoder(config, ledger, m, visible, views),
  );
  const view = (): PerModality<Tokens> => mapPresent(all, (x) => oneView(ledger, x, views));
  const encoded = view();
  const fused = traceFusion(config, ledger, encoded);
  const losses = traceDecoders(config, ledger, fused, split);
  const aside = contrasted ? ledger : ledger.idle;
  const first = traceEmbeddings(config, aside, encoded);
  if (both && interWeight > 0) losses.push(traceInter(config, ledger, first));
  if (intraWeight > 0) {
    losses.push(traceIntra(ledger, first, traceEmbeddings(config, ledger, view())));
  }
  traceTotal(ledger, losses);
  return ledger;
}

function traceSplit(
  config: ModelConfig,
  ratios: MaskRatios,
  ledger: Ledger,
): PerModality<TracedSplit> {
  const entries = modalities(config).map((m) => {
    const visible = visibleTokenCount(config, m, maskRatioOf(ratios, m));
    const indices = (count: number): Tokens => tokensOf(ledger.batch, count, 1);
    const masked = indices(tokenCount(config, m) - visible);
    return [m, { visible: indices(visible), masked }] as const;
  });
  return Object.fromEntries(entries);
}

/** `encode` of all views as one batch. */
function traceEncoder(
  config: ModelConfig,
  ledger: Ledger,
  modality: Modality,
  visible: Tokens,
  views: number,
): Tokens {
  const { width, depth, finalNorm } = config.encoder;
  const module = `${modality}Encoder` as const;
  const clips = ledger.batch * views;
  const order = views === 1 ? visible : tokensOf(ledger.batch, views * visible.count, 1);
  const patches = tokensOf(ledger.batch, order.count, patchValues(config, modality));
  const embedded = linear(ledger, module, patches, width, true);
  let x = placeTokens(ledger, config.encoder, embedded, order.buffer);
  if (views > 1) x = reshape(ledger, x, clips, visible.count);
  const inFront = Array.from({ length: classTokens(config) }, () =>
    repeatToken(ledger, clips, 1, width),
  );
  x = concat(ledger, [...inFront, x]);
  for (let i = 0; i < depth; i++) x = selfBlock(config, ledger, [[module, x.count]], x);
  return finalNorm ? layerNorm(ledger, x) : x;
}

/** One view of each clip, cut out of all. */
function oneView(ledger: Ledger, all: Tokens, views: number): Tokens {
  if (views === 1) return all;
  const cut = tokensOf(ledger.batch, all.count, all.width);
  ledger.keep(all.buffer, cut.buffer);
  return cut;
}

/** Self-attention over all of x at encoder sizes. */
function selfBlock(config: ModelConfig, ledger: Ledger, shares: Shares, x: Tokens): Tokens {
  const { heads, mlpRatio } = config.encoder;
  return block(ledger, shares, x, { keys: x.count, heads, mlpRatio });
}

/** `fuse`. */
function traceFusion(
  config: ModelConfig,
  ledger: Ledger,
  encoded: PerModality<Tokens>,
): PerModality<Tokens> {
  const { kind, depth, finalNorm } = config.fusion;
  if (kind === 'none') return encoded;
  if (kind === 'bottleneck') return traceBottleneck(config, ledger, encoded);
  const { audio, video } = encoded;
  let x = concat(ledger, Object.values(encoded));
  for (let i = 0; i < depth; i++) x = selfBlock(config, ledger, [['fusion', x.count]], x);
  if (finalNorm) x = layerNorm(ledger, x);
  if (audio === undefined || video === undefined) return mapPresent(encoded, () => x);
  return { audio: slice(ledger, x, audio.count), video: slice(ledger, x, video.count) };
}

function traceBottleneck(
  config: ModelConfig,
  ledger: Ledger,
  encoded: PerModality<Tokens>,
): PerModality<Tokens> {
  const { depth, finalNorm, bottlenecks } = config.fusion;
  let tokens = encoded;
  let shared = repeatToken(ledger, ledger.batch, bottlenecks, config.encoder.width);
  for (let i = 0; i < depth; i++) {
    const mixed = mapPresent(tokens, (own) => {
      const x = concat(ledger, [own, shared]);
      return selfBlock(config, ledger, [['fusion', x.count]], x);
    });
    tokens = mapPresent(tokens, (own, m) => slice(ledger, mixed[m] as Tokens, own.count));
    if (i === depth - 1) break; // Nobody reads the last bottleneck.
    const [first, second] = Object.values(mixed).map((x) => slice(ledger, x, bottlenecks));
    shared = scaled(ledger, add(ledger, first as Tokens, (second as Tokens).buffer));
  }
  return finalNorm ? mapPresent(tokens, (x) => layerNorm(ledger, x)) : tokens;
}

/** `unimodalTokens` and their mean: embeddings [batch, width]. */
function traceEmbeddings(
  config: ModelConfig,
  ledger: Ledger,
  encoded: PerModality<Tokens>,
): PerModality<Tokens> {
  const { kind, depth, finalNorm } = config.fusion;
  return mapPresent(encoded, (tokens) => {
    let x = tokens;
    if (kind === 'modality-norms') {
      for (let i = 0; i < depth; i++) x = selfBlock(config, ledger, [['fusion', x.count]], x);
      if (finalNorm) x = layerNorm(ledger, x);
    }
    const inFront = classTokens(config);
    const averaged = inFront === 0 ? x : slice(ledger, x, x.count - inFront);
    ledger.keepReduced(averaged.buffer);
    return tokensOf(ledger.batch, 1, x.width);
  });
}

/** `infoNce` of embeddings: every query against every key. */
function traceInfoNce(ledger: Ledger, queries: Tokens, keys: Tokens): Tokens {
  const macs = ledger.batch * queries.buffer.values;
  ledger.keep(queries.buffer, keys.buffer);
  ledger.multiply('contrast', macs, 2, macs);
  return scalar();
}

function traceInter(config: ModelConfig, ledger: Ledger, embeddings: PerModality<Tokens>): Tokens {
  const { audio, video } = embeddings as Required<PerModality<Tokens>>;
  const one = traceInfoNce(ledger, audio, video);
  if (config.loss.interDirection !== 'both') return one;
  return scaled(ledger, sum(ledger, one, traceInfoNce(ledger, video, audio)));
}

function traceIntra(
  ledger: Ledger,
  first: PerModality<Tokens>,
  second: PerModality<Tokens>,
): Tokens {
  const losses = mapPresent(first, (queries, m) =>
    traceInfoNce(ledger, queries, second[m] as Tokens),
  );
  return scaled(
    ledger,
    Object.values(losses).reduce((a, b) => sum(ledger, a, b)),
  );
}

/** `totalLoss`: each term times its weight, added up. */
function traceTotal(ledger: Ledger, losses: readonly Tokens[]): void {
  losses.map((loss) => scaled(ledger, loss)).reduce((a, b) => sum(ledger, a, b));
}

/** `tf.mul` by a number, which becomes a tensor. */
function scaled(ledger: Ledger, x: Tokens): Tokens {
  ledger.keep(x.buffer, { values: 1 });
  return tokensOf(x.clips, x.count, x.width);
}

function sum(ledger: Ledger, a: Tokens, b: Tokens): Tokens {
  ledger.keep(a.buffer, b.buffer);
  return scalar();
}
