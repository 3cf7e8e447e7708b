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
  if (config.classifier.pooling === 'tokens') return pooled(g, config, modality, x);
  const at = `${modality}_pool`;
  return meanTokens(g, at, sliceTokens(g, at, x, 0, classTokens(config)));
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
