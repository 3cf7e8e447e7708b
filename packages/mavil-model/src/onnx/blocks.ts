// SPDX-License-Identifier: Apache-2.0
// Transformer blocks as ONNX nodes: the arithmetic of blocks.ts, operator set 17 (LayerNormalization is an operator there,
// GELU is spelled out through Erf, a pattern that runtimes fuse).
import type { GraphBuilder, Value } from './graph.ts';

export interface BlockSizes {
  readonly width: number;
  readonly heads: number;
  readonly epsilon: number;
}

/** x [..., in] -> [..., out]. */
export function linear(g: GraphBuilder, name: string, x: Value): Value {
  const product = g.node(name, 'MatMul', [x, g.matrix(`${name}.weight`)]);
  return g.node(name, 'Add', [product, g.weight(`${name}.bias`)]);
}

/** Over the last axis. */
export function layerNorm(g: GraphBuilder, name: string, x: Value, epsilon: number): Value {
  const inputs = [x, g.weight(`${name}.weight`), g.weight(`${name}.bias`)];
  return g.node(name, 'LayerNormalization', inputs, { axis: -1, epsilon: { float: epsilon } });
}

/** Mean over the tokens: [batch, tokens, width] -> [batch, width]. */
export function meanTokens(g: GraphBuilder, at: string, x: Value): Value {
  return g.node(at, 'ReduceMean', [x], { axes: [1], keepdims: 0 });
}

/** The end of a slice that takes all that is left. */
export const allTokens: number = 2 ** 31 - 1;

/** Tokens from..to (excluded) of [batch, tokens, width]. */
export function sliceTokens(
  g: GraphBuilder,
  at: string,
  x: Value,
  from: number,
  to: number,
): Value {
  return g.node(at, 'Slice', [x, g.integers(from), g.integers(to), g.integers(1)]);
}

/**
 * Pre-norm self-attention block: x += attention(norm1(x)), x += mlp(norm2(x)); [batch, tokens, width] -> the same.
 * `norms` chooses LayerNorms of one modality's own [CAV-MAE].
 */
export function selfBlock(
  g: GraphBuilder,
  name: string,
  x: Value,
  sizes: BlockSizes,
  norms: '' | '_audio' | '_video' = '',
): Value {
  const first = layerNorm(g, `${name}.norm1${norms}`, x, sizes.epsilon);
  const middle = g.node(name, 'Add', [x, attention(g, name, first, sizes)]);
  const normed = layerNorm(g, `${name}.norm2${norms}`, middle, sizes.epsilon);
  const hidden = gelu(g, `${name}.mlp`, linear(g, `${name}.mlp.fc1`, normed));
  return g.node(name, 'Add', [middle, linear(g, `${name}.mlp.fc2`, hidden)]);
}

function attention(g: GraphBuilder, name: string, x: Value, { width, heads }: BlockSizes): Value {
  const at = `${name}.attn`;
  const headWidth = width / heads;
  const parts = g.nodes(at, 'Split', [linear(g, `${at}.qkv`, x)], 3, { axis: 2 });
  const [query = '', key = '', value = ''] = parts.map((part, i) => {
    const split = g.node(at, 'Reshape', [part, g.integers(0, 0, heads, headWidth)]);
    // Keys lie transposed: [batch, heads, headWidth, tokens].
    return g.node(at, 'Transpose', [split], { perm: i === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] });
  });
  const scaled = g.node(at, 'Mul', [query, g.scalar(1 / Math.sqrt(headWidth))]);
  const scores = g.node(at, 'Softmax', [g.node(at, 'MatMul', [scaled, key])], { axis: -1 });
  const mixed = g.node(at, 'Transpose', [g.node(at, 'MatMul', [scores, value])], {
    perm: [0, 2, 1, 3],
  });
  return linear(g, `${at}.proj`, g.node(at, 'Reshape', [mixed, g.integers(0, 0, width)]));
}

/** A learned token [1, count, width] for each clip of the batch that `like` has: [batch, count, width]. */
export function expandToken(g: GraphBuilder, name: string, like: Value, sizes: number[]): Value {
  const batch = g.node(name, 'Shape', [like], { start: 0, end: 1 });
  const shape = g.node(name, 'Concat', [batch, g.integers(...sizes)], { axis: 0 });
  return g.node(name, 'Expand', [g.weight(name), shape]);
}

/** x (1 + erf(x / sqrt 2)) / 2. */
function gelu(g: GraphBuilder, at: string, x: Value): Value {
  const erf = g.node(at, 'Erf', [g.node(at, 'Div', [x, g.scalar(Math.SQRT2)])]);
  const gate = g.node(at, 'Add', [erf, g.scalar(1)]);
  return g.node(at, 'Mul', [g.node(at, 'Mul', [x, gate]), g.scalar(0.5)]);
}
