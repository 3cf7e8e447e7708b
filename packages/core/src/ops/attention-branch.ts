// SPDX-License-Identifier: Apache-2.0
// attentionBranch: x + branchScale * proj(attention(projections(layerNorm(x)))), the first half of
// a pre-norm transformer block, as one kernel forward and one backward. Kinds: self; window (self
// within windows of a token grid); cross (keys and values from a context that is normalized
// already). [MAE §3, DiffMAViL §3]
import * as tf from '@tensorflow/tfjs-core';
import { shapeOf } from '../shapes.ts';
import { attentionBranchKernel, type AttentionBranchInputs } from './attention-branch-kernels.ts';
import { attentionReference, checkHeads, checkWindow, windowAttributes } from './attention.ts';
import { dropPathReference } from './drop-path.ts';
import { absent, output, runKernel, type Precision } from './kernel.ts';
import { layerNormReference, type NormParameters } from './layer-norm.ts';
import { linearReference } from './linear.ts';
import type { WindowOptions } from './windows.ts';

/** A linear map in PyTorch's layout: weight [outWidth, inWidth], bias [outWidth]. */
export interface LinearParameters {
  readonly weight: tf.Tensor;
  readonly bias: tf.Tensor;
}

/** Parameters of kinds self and window. */
export interface SelfAttentionParameters {
  readonly norm: NormParameters;
  /** [3*width, width]: rows of queries, then keys, then values; heads contiguous in each. */
  readonly qkv: LinearParameters;
  /** [width, width]. */
  readonly proj: LinearParameters;
}

/** Parameters of kind window. */
export interface WindowAttentionParameters extends SelfAttentionParameters {
  /** [(2a-1)(2b-1), heads]: row (dr + a - 1)(2b - 1) + (dc + b - 1), d = query - key. */
  readonly relBias: tf.Tensor;
}

/** Parameters of kind cross. */
export interface CrossAttentionParameters {
  readonly norm: NormParameters;
  /** [width, width]. */
  readonly q: LinearParameters;
  /** [2*width, width]: rows of keys, then values. */
  readonly kv: LinearParameters;
  /** [width, width]. */
  readonly proj: LinearParameters;
}

interface CommonOptions {
  /** Divides the width. */
  readonly heads: number;
  /** Of the layer normalization; default 1e-6. */
  readonly epsilon?: number;
  /**
   * [batch]: factor of each sample's branch (stochastic depth: 0 drops it). Not differentiated.
   * Default none.
   */
  readonly branchScale?: tf.Tensor | null;
  /** Default 'float32'. */
  readonly precision?: Precision;
}

export interface SelfBranchOptions extends CommonOptions {
  readonly kind: 'self';
}

export interface WindowBranchOptions extends CommonOptions, WindowOptions {
  readonly kind: 'window';
}

export interface CrossBranchOptions extends CommonOptions {
  readonly kind: 'cross';
  /** [batch, keys, width], normalized already. */
  readonly context: tf.Tensor;
}

export type AttentionBranchOptions = SelfBranchOptions | WindowBranchOptions | CrossBranchOptions;

/**
 * x plus its attention branch.
 *
 * @param x [batch, tokens, width]
 * @returns [batch, tokens, width]
 * @throws ShapeError when shapes disagree, heads do not divide the width, or the window does not
 * divide the grid.
 */
export function attentionBranch(
  x: tf.Tensor,
  parameters: SelfAttentionParameters,
  options: SelfBranchOptions,
): tf.Tensor3D;
export function attentionBranch(
  x: tf.Tensor,
  parameters: WindowAttentionParameters,
  options: WindowBranchOptions,
): tf.Tensor3D;
export function attentionBranch(
  x: tf.Tensor,
  parameters: CrossAttentionParameters,
  options: CrossBranchOptions,
): tf.Tensor3D;
export function attentionBranch(
  x: tf.Tensor,
  parameters: SelfAttentionParameters | WindowAttentionParameters | CrossAttentionParameters,
  options: AttentionBranchOptions,
): tf.Tensor3D {
  const call = { parameters, options } as BranchCall;
  checkShapes(x, call);
  const { heads, kind, epsilon = 1e-6, precision = 'float32' } = options;
  return tf.tidy(() => {
    const window = kind === 'window' ? options : undefined;
    const attributes = { kind, heads, epsilon, precision, ...windowAttributes(window) };
    return output(
      runKernel(attentionBranchKernel, kernelInputs(x, call), attributes),
    ) as tf.Tensor3D;
  });
}

/** `attentionBranch` from the reference twins of the small ops, with tfjs's own gradient. */
export function attentionBranchReference(
  x: tf.Tensor,
  parameters: SelfAttentionParameters | WindowAttentionParameters | CrossAttentionParameters,
  options: AttentionBranchOptions,
): tf.Tensor3D {
  const call = { parameters, options } as BranchCall;
  checkShapes(x, call);
  const { heads, epsilon = 1e-6, branchScale = null } = options;
  return tf.tidy(() => {
    const normed = layerNormReference(x, parameters.norm, { epsilon });
    const [query, key, value] = projectReference(normed, call);
    const attended = attentionReference(query, key, value, {
      heads,
      ...(options.kind === 'window'
        ? { window: options, relBias: (parameters as WindowAttentionParameters).relBias }
        : {}),
    });
    const branch = linearReference(attended, parameters.proj.weight, parameters.proj.bias);
    const scaled = branchScale === null ? branch : dropPathReference(branch, branchScale);
    return tf.add(x, scaled);
  });
}

/** Parameters and options of one kind. */
type BranchCall =
  | { readonly parameters: SelfAttentionParameters; readonly options: SelfBranchOptions }
  | { readonly parameters: WindowAttentionParameters; readonly options: WindowBranchOptions }
  | { readonly parameters: CrossAttentionParameters; readonly options: CrossBranchOptions };

const isCross = (call: BranchCall): call is Extract<BranchCall, { options: CrossBranchOptions }> =>
  call.options.kind === 'cross';

const isWindow = (
  call: BranchCall,
): call is Extract<BranchCall, { options: WindowBranchOptions }> => call.options.kind === 'window';

function kernelInputs(x: tf.Tensor, call: BranchCall): AttentionBranchInputs {
  const { norm, proj } = call.parameters;
  const none = absent();
  const q = isCross(call) ? call.parameters.q : call.parameters.qkv;
  const kv = isCross(call) ? call.parameters.kv : { weight: none, bias: undefined };
  return {
    x,
    normWeight: norm.weight,
    normBias: norm.bias,
    qWeight: q.weight,
    qBias: q.bias,
    projWeight: proj.weight,
    projBias: proj.bias,
    kvWeight: kv.weight,
    kvBias: kv.bias,
    context: isCross(call) ? call.options.context : none,
    relBias: isWindow(call) ? call.parameters.relBias : none,
    branchScale: call.options.branchScale ?? none,
  };
}

function projectReference(normed: tf.Tensor, call: BranchCall): [tf.Tensor, tf.Tensor, tf.Tensor] {
  if (isCross(call)) {
    const { q, kv } = call.parameters;
    const query = linearReference(normed, q.weight, q.bias);
    const projected = linearReference(call.options.context, kv.weight, kv.bias);
    const [key, value] = tf.split(projected, 2, -1) as [tf.Tensor, tf.Tensor];
    return [query, key, value];
  }
  const { weight, bias } = call.parameters.qkv;
  const projected = linearReference(normed, weight, bias);
  return tf.split(projected, 3, -1) as [tf.Tensor, tf.Tensor, tf.Tensor];
}

function checkShapes(x: tf.Tensor, call: BranchCall): void {
  const where = 'attentionBranch';
  const { batch, width } = shapeOf(x, '[batch, tokens, width]', `${where}: x`);
  const { norm, proj } = call.parameters;
  const { heads, branchScale = null } = call.options;
  shapeOf(norm.weight, '[width]', `${where}: norm.weight`, { width });
  shapeOf(norm.bias, '[width]', `${where}: norm.bias`, { width });
  checkHeads(width, heads, where);
  if (isCross(call)) {
    const { q, kv } = call.parameters;
    shapeOf(call.options.context, '[batch, keys, width]', `${where}: context`, { batch, width });
    shapeOf(q.weight, '[width, width]', `${where}: q.weight`, { width });
    shapeOf(q.bias, '[width]', `${where}: q.bias`, { width });
    shapeOf(kv.weight, '[2*width, width]', `${where}: kv.weight`, { width });
    shapeOf(kv.bias, '[2*width]', `${where}: kv.bias`, { width });
  } else {
    const { qkv } = call.parameters;
    shapeOf(qkv.weight, '[3*width, width]', `${where}: qkv.weight`, { width });
    shapeOf(qkv.bias, '[3*width]', `${where}: qkv.bias`, { width });
  }
  if (isWindow(call)) checkWindow(call.options, [x], call.parameters.relBias, heads, where);
  shapeOf(proj.weight, '[width, width]', `${where}: proj.weight`, { width });
  shapeOf(proj.bias, '[width]', `${where}: proj.bias`, { width });
  if (branchScale !== null) shapeOf(branchScale, '[batch]', `${where}: branchScale`, { batch });
}
