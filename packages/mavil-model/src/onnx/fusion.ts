// SPDX-License-Identifier: Apache-2.0
// Fusion of both modalities' tokens as ONNX nodes: what `fuse` and `unimodalTokens` compute.
import { tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import { classTokens } from '../encoder.ts';
import { allTokens, expandToken, layerNorm, selfBlock, sliceTokens } from './blocks.ts';
import { encoderSizes } from './encoder.ts';
import type { GraphBuilder, Value } from './graph.ts';

/** Tokens of both modalities, [batch, class tokens + tokens, width] each. */
export type BothValues = Readonly<Record<Modality, Value>>;

const both = ['audio', 'video'] as const;

/** Encoder outputs -> fused tokens of the same shapes. */
export function fuse(g: GraphBuilder, config: ModelConfig, encoded: BothValues): BothValues {
  const { kind } = config.fusion;
  switch (kind) {
    case 'none':
      return encoded;
    case 'joint':
    case 'modality-norms':
      return fuseJointly(g, config, encoded);
    case 'bottleneck':
      return fuseThroughBottleneck(g, config, encoded);
    default:
      return kind satisfies never;
  }
}

/** One modality by itself: with 'modality-norms' after a pass of its own through the fusion's blocks, else as it is. */
export function unimodal(
  g: GraphBuilder,
  config: ModelConfig,
  modality: Modality,
  encoded: Value,
): Value {
  const { kind, depth, finalNorm } = config.fusion;
  if (kind !== 'modality-norms') return encoded;
  const sizes = encoderSizes(config);
  let x = encoded;
  for (let i = 0; i < depth; i++) {
    x = selfBlock(g, `fusion.blocks.${i}`, x, sizes, `_${modality}`);
  }
  return finalNorm ? layerNorm(g, `fusion.norm_${modality}`, x, sizes.epsilon) : x;
}

function fuseJointly(
  g: GraphBuilder,
  config: ModelConfig,
  { audio, video }: BothValues,
): BothValues {
  const { depth, finalNorm } = config.fusion;
  const sizes = encoderSizes(config);
  let x = g.node('fusion', 'Concat', [audio, video], { axis: 1 });
  for (let i = 0; i < depth; i++) x = selfBlock(g, `fusion.blocks.${i}`, x, sizes);
  if (finalNorm) x = layerNorm(g, 'fusion.norm', x, sizes.epsilon);
  const split = lengthOf(config, 'audio');
  return {
    audio: sliceTokens(g, 'fusion', x, 0, split),
    video: sliceTokens(g, 'fusion', x, split, allTokens),
  };
}

function fuseThroughBottleneck(
  g: GraphBuilder,
  config: ModelConfig,
  encoded: BothValues,
): BothValues {
  const { depth, bottlenecks, finalNorm } = config.fusion;
  const sizes = encoderSizes(config);
  const tokens: Record<Modality, Value> = { ...encoded };
  let shared = expandToken(g, 'fusion.bottleneck', encoded.audio, [bottlenecks, sizes.width]);
  for (let i = 0; i < depth; i++) {
    const halves = both.map((m) => {
      const name = `fusion.${m}_blocks.${i}`;
      const joined = g.node(name, 'Concat', [tokens[m], shared], { axis: 1 });
      const mixed = selfBlock(g, name, joined, sizes);
      tokens[m] = sliceTokens(g, name, mixed, 0, lengthOf(config, m));
      return sliceTokens(g, name, mixed, lengthOf(config, m), allTokens);
    });
    shared = g.node('fusion', 'Mul', [g.node('fusion', 'Add', halves), g.scalar(0.5)]);
  }
  const last = (m: Modality): Value =>
    finalNorm ? layerNorm(g, 'fusion.norm', tokens[m], sizes.epsilon) : tokens[m];
  return { audio: last('audio'), video: last('video') };
}

function lengthOf(config: ModelConfig, modality: Modality): number {
  return classTokens(config) + tokenCount(config, modality);
}
