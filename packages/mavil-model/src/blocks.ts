// SPDX-License-Identifier: Apache-2.0
// Pre-norm transformer blocks over the named weights: x += attention(norm1(x)), x += mlp(norm2(x)).
// Every encoder, fusion and decoder block of the model is one of these, but for AudioMAE's post-norm decoder blocks.
import {
  attentionBranch,
  CheckpointError,
  checkpoint,
  diffusedLinear,
  layerNorm,
  linear,
  mlpBranch,
} from '@diffmavil/core';
import type { DiffusedPatches, Precision } from '@diffmavil/core';
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';

import type { Modality, ModelConfig } from './config.ts';
import { cosineWindowBlock } from './cosine-window.ts';
import type { CosineWindowWeights } from './cosine-window.ts';
import type { Parameters } from './parameters.ts';

/** How to compute, not what. */
export interface ComputeOptions {
  /** Arithmetic of matrix products; 'bfloat16' needs a native backend. Default 'float32'. */
  readonly precision?: Precision;
  /** Recompute each block in the backward pass instead of keeping its activations. Default false. */
  readonly checkpointing?: boolean;
}

/** Attention of one block. `context` [batch, keys, width] is normalised already and never updated. */
export type BlockAttention =
  | {
      readonly kind: 'self';
      readonly heads: number;
      /** Reads the LayerNorms a modality has for passes of its own: norm1_audio in place of norm1 [CAV-MAE]. */
      readonly norms?: Modality;
    }
  | {
      readonly kind: 'window';
      readonly heads: number;
      readonly grid: readonly [number, number];
      readonly size: readonly [number, number];
      readonly shift: readonly [number, number];
    }
  | {
      /** AudioMAE's post-norm block: cosine-window.ts. */
      readonly kind: 'cosine-window';
      readonly heads: number;
      readonly grid: readonly [number, number];
      readonly size: readonly [number, number];
      readonly shift: readonly [number, number];
    }
  | { readonly kind: 'cross'; readonly heads: number; readonly context: Tensor3D };

/** Per-sample factors [batch] of a block's two branches, for drop path. */
export interface BranchScales {
  readonly attention: Tensor;
  readonly mlp: Tensor;
}

/** A weight by name. Throws CheckpointError when the record lacks it. */
export function weightOf(parameters: Parameters, name: string): Tensor {
  const weight = parameters[name];
  if (weight === undefined) {
    throw new CheckpointError(`model: expected a weight named ${name}, got none`);
  }
  return weight;
}

/** x [..., in] -> [..., out] with the weights `name`.weight [out, in] and `name`.bias [out]. */
export function applyLinear(
  parameters: Parameters,
  name: string,
  x: Tensor,
  { precision = 'float32' }: ComputeOptions = {},
): Tensor3D {
  const { weight, bias } = affine(parameters, name);
  return linear(x, weight, bias, { precision }) as Tensor3D;
}

/** LayerNorm over the last axis with the weights `name`.weight and `name`.bias. */
export function applyNorm<T extends Tensor>(
  config: ModelConfig,
  parameters: Parameters,
  name: string,
  x: T,
): T {
  return layerNorm(x, affine(parameters, name), { epsilon: config.encoder.normEpsilon }) as T;
}

/** `applyLinear` of data: patches [batch, count, in] get no gradient, which spares a matrix product. */
export function applyEmbedding(
  parameters: Parameters,
  name: string,
  patches: Tensor,
  { precision = 'float32' }: ComputeOptions = {},
): Tensor3D {
  const { weight, bias } = affine(parameters, name);
  return linear(patches, weight, bias, { precision, inputGradient: false }) as Tensor3D;
}

/** `applyEmbedding` of masked patches with noise, [batch, masked, out]: they are made again in the backward pass, not kept for it. */
export function applyDiffusedEmbedding(
  parameters: Parameters,
  name: string,
  x: DiffusedPatches,
  { precision = 'float32' }: ComputeOptions = {},
): Tensor3D {
  return diffusedLinear(x, affine(parameters, name), { precision });
}

/**
 * One block: [batch, tokens, width] -> the same shape. Weights are read under `name`.; with checkpointing only
 * the block's inputs are kept for the backward pass.
 */
export function applyBlock(
  config: ModelConfig,
  parameters: Parameters,
  name: string,
  x: Tensor3D,
  attention: BlockAttention,
  options: ComputeOptions = {},
  scales?: BranchScales,
): Tensor3D {
  const { precision = 'float32' } = options;
  const how = { epsilon: config.encoder.normEpsilon, precision };
  if (options.checkpointing !== true) {
    return runBlock(parameters, name, x, attention, how, scales);
  }
  const names = Object.keys(parameters).filter((key) => key.startsWith(`${name}.`));
  const cross = attention.kind === 'cross';
  // Everything the block reads is an input: what a closure holds may be disposed before the recomputation.
  const inputs = [
    x,
    ...names.map((key) => weightOf(parameters, key)),
    ...(cross ? [attention.context] : []),
    ...(scales === undefined ? [] : [scales.attention, scales.mlp]),
  ];
  const run = (...given: Tensor[]): Tensor => {
    const weights = Object.fromEntries(names.map((key, i) => [key, given[i + 1] as Tensor]));
    const rest = given.slice(1 + names.length);
    const inner = cross ? { ...attention, context: rest.shift() as Tensor3D } : attention;
    const [first, second] = rest;
    const drop = first && second ? { attention: first, mlp: second } : undefined;
    return runBlock(weights, name, given[0] as Tensor3D, inner, how, drop);
  };
  return checkpoint(run, inputs) as Tensor3D;
}

/** Epsilon of the LayerNorms and arithmetic of the products. */
interface BranchOptions {
  readonly epsilon: number;
  readonly precision: Precision;
}

function runBlock(
  parameters: Parameters,
  name: string,
  x: Tensor3D,
  attention: BlockAttention,
  options: BranchOptions,
  scales: BranchScales | undefined,
): Tensor3D {
  const at = (part: string): Affine => affine(parameters, `${name}.${part}`);
  if (attention.kind === 'cosine-window') {
    return cosineWindowBlock(x, cosineWindowWeights(parameters, name), {
      ...attention,
      ...options,
      ...(scales && { scales }),
    });
  }
  const scaled = (branchScale: Tensor | undefined): BranchOptions & { branchScale?: Tensor } =>
    branchScale === undefined ? options : { ...options, branchScale };
  const norms = normsOf(attention);
  const mixed = attend(parameters, name, x, attention, scaled(scales?.attention));
  return mlpBranch(
    mixed,
    { norm: at(`norm2${norms}`), fc1: at('mlp.fc1'), fc2: at('mlp.fc2') },
    scaled(scales?.mlp),
  );
}

function normsOf(attention: BlockAttention): string {
  return attention.kind === 'self' && attention.norms !== undefined ? `_${attention.norms}` : '';
}

function attend(
  parameters: Parameters,
  name: string,
  x: Tensor3D,
  attention: Exclude<BlockAttention, { kind: 'cosine-window' }>,
  options: BranchOptions & { readonly branchScale?: Tensor },
): Tensor3D {
  const at = (part: string): Affine => affine(parameters, `${name}.${part}`);
  const common = { norm: at(`norm1${normsOf(attention)}`), proj: at('attn.proj') };
  switch (attention.kind) {
    case 'self': {
      const { kind, heads } = attention;
      return attentionBranch(x, { ...common, qkv: at('attn.qkv') }, { kind, heads, ...options });
    }
    case 'window': {
      const relBias = weightOf(parameters, `${name}.rel_bias`);
      const weights = { ...common, qkv: at('attn.qkv'), relBias };
      return attentionBranch(x, weights, { ...attention, ...options });
    }
    case 'cross': {
      const weights = { ...common, q: at('attn.q'), kv: at('attn.kv') };
      return attentionBranch(x, weights, { ...attention, ...options });
    }
    default:
      attention satisfies never;
      throw new CheckpointError(`model: expected a known attention kind at ${name}`);
  }
}

function cosineWindowWeights(parameters: Parameters, name: string): CosineWindowWeights {
  const at = (part: string): Affine => affine(parameters, `${name}.${part}`);
  return {
    norm1: at('norm1'),
    qkv: at('attn.qkv'),
    proj: at('attn.proj'),
    tau: weightOf(parameters, `${name}.attn.tau`),
    biasFc1: at('attn.bias_mlp.fc1'),
    biasFc2: at('attn.bias_mlp.fc2'),
    norm2: at('norm2'),
    fc1: at('mlp.fc1'),
    fc2: at('mlp.fc2'),
  };
}

interface Affine {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

function affine(parameters: Parameters, name: string): Affine {
  return {
    weight: weightOf(parameters, `${name}.weight`),
    bias: weightOf(parameters, `${name}.bias`),
  };
}
