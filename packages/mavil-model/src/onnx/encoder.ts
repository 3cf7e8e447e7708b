// SPDX-License-Identifier: Apache-2.0
// The encoder of one modality over all its tokens, as ONNX nodes: what `encode` computes without an order.
import { tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import { classTokens } from '../encoder.ts';
import { positionTable } from '../positions.ts';
import { allTokens, expandToken, layerNorm, linear, meanTokens } from './blocks.ts';
import { selfBlock, sliceTokens } from './blocks.ts';
import type { BlockSizes } from './blocks.ts';
import type { GraphBuilder, Value } from './graph.ts';

/** What the blocks of encoder and fusion share. */
export function encoderSizes({ encoder: { width, heads, normEpsilon } }: ModelConfig): BlockSizes {
  return { width, heads, epsilon: normEpsilon };
}

/** patches [batch, tokens, patchValues] -> [batch, class tokens + tokens, width], before the final LayerNorm. */
export function encoderBlocks(
  g: GraphBuilder,
  config: ModelConfig,
  modality: Modality,
  patches: Value,
): Value {
  const name = `${modality}_encoder`;
  const embedded = linear(g, `${name}.patch_embed`, patches);
  let x = withClassTokens(g, config, name, placed(g, config, modality, embedded));
  for (let i = 0; i < config.encoder.depth; i++) {
    x = selfBlock(g, `${stackName(config, modality)}.blocks.${i}`, x, encoderSizes(config));
  }
  return x;
}

/** The final LayerNorm, if the model has one. */
export function encoderNorm(
  g: GraphBuilder,
  config: ModelConfig,
  modality: Modality,
  x: Value,
): Value {
  const { finalNorm, normEpsilon } = config.encoder;
  return finalNorm ? layerNorm(g, `${stackName(config, modality)}.norm`, x, normEpsilon) : x;
}

/** Mean over the patch tokens, class tokens left out: [batch, width]. */
export function pooled(g: GraphBuilder, config: ModelConfig, modality: Modality, x: Value): Value {
  const at = `${modality}_pool`;
  const count = classTokens(config);
  return meanTokens(g, at, count === 0 ? x : sliceTokens(g, at, x, count, allTokens));
}

/** What a classifier's head reads of a modality's tokens, by `classifier.pooling`: [batch, width]. */
export function pooledForHead(
  g: GraphBuilder,
  config: ModelConfig,
  modality: Modality,
  x: Value,
): Value {
  return meanTokens(g, `${modality}_pool`, headTokens(g, config, modality, x));
}

/** What the head over both modalities reads, by `classifier.joint`: [batch, 2 width] or [batch, width]. */
export function pooledForBoth(
  g: GraphBuilder,
  config: ModelConfig,
  tokens: Readonly<Record<Modality, Value>>,
): Value {
  const both = (['audio', 'video'] as const).map((m) =>
    config.classifier.joint === 'mean'
      ? headTokens(g, config, m, tokens[m])
      : pooledForHead(g, config, m, tokens[m]),
  );
  const joined = g.node('av_pool', 'Concat', both, { axis: 1 });
  return config.classifier.joint === 'mean' ? meanTokens(g, 'av_pool', joined) : joined;
}

/** The tokens that a head reads: [batch, count, width]. */
function headTokens(g: GraphBuilder, config: ModelConfig, modality: Modality, x: Value): Value {
  const at = `${modality}_pool`;
  const count = classTokens(config);
  if (config.classifier.pooling === 'class-tokens') return sliceTokens(g, at, x, 0, count);
  return count === 0 ? x : sliceTokens(g, at, x, count, allTokens);
}

function stackName(config: ModelConfig, modality: Modality): string {
  return config.encoder.sharing === 'shared' ? 'shared_encoder' : `${modality}_encoder`;
}

/** Positions, fixed or learned, and the modality token added to the embedded patches. */
function placed(g: GraphBuilder, config: ModelConfig, modality: Modality, x: Value): Value {
  const { width, positions, modalityToken } = config.encoder;
  const name = `${modality}_encoder`;
  const table = `${name}.positions`;
  const shape = [1, tokenCount(config, modality), width];
  const added =
    positions === 'learned'
      ? g.weight(table)
      : g.constant(table, shape, positionTable(config, modality, width));
  const y = g.node(name, 'Add', [x, added]);
  return modalityToken ? g.node(name, 'Add', [y, g.weight(`${name}.modality_token`)]) : y;
}

function withClassTokens(g: GraphBuilder, config: ModelConfig, name: string, x: Value): Value {
  const { width, classToken, distillationToken } = config.encoder;
  const inFront = [
    ...(classToken ? [`${name}.cls_token`] : []),
    ...(distillationToken ? [`${name}.dist_token`] : []),
  ].map((token) => expandToken(g, token, x, [1, width]));
  return inFront.length === 0 ? x : g.node(name, 'Concat', [...inFront, x], { axis: 1 });
}
