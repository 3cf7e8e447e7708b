// SPDX-License-Identifier: Apache-2.0
// Transformer blocks, norms and linear layers by their several names: timm's, Hugging Face's (as saved, and as its newer
// classes call them in memory), SpatiotemporalMAE's with query, key and value apart.
import { stacked, zeros } from './arrays.ts';
import type { Values } from './arrays.ts';
import type { ForeignWeights } from './foreign-weights.ts';

/** Our weights as they come about, and which of them no file gave. */
export class MappedWeights {
  readonly values: Record<string, Values> = {};
  readonly initialized: string[] = [];

  set(name: string, values: Values): void {
    this.values[name] = values;
  }

  /** A weight the source does not have, set to what stands for its absence. */
  make(name: string, values: Values): void {
    this.set(name, values);
    this.initialized.push(name);
  }
}

type Names = readonly string[];

const parts: Readonly<
  Record<'norm1' | 'norm2' | 'fused' | 'q' | 'k' | 'v' | 'proj' | 'fc1' | 'fc2', Names>
> = {
  norm1: ['norm1', 'layernorm_before'],
  norm2: ['norm2', 'layernorm_after'],
  fused: ['attn.qkv'],
  q: ['attn.q', 'attention.attention.query', 'attention.q_proj'],
  k: ['attn.k', 'attention.attention.key', 'attention.k_proj'],
  v: ['attn.v', 'attention.attention.value', 'attention.v_proj'],
  proj: ['attn.proj', 'attention.output.dense', 'attention.o_proj'],
  fc1: ['mlp.fc1', 'intermediate.dense'],
  fc2: ['mlp.fc2', 'output.dense'],
};

/** One LayerNorm. */
export function mapNorm(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  to: string,
): void {
  mapped.set(`${to}.weight`, weights.take(`${from}.weight`, 1));
  mapped.set(`${to}.bias`, weights.take(`${from}.bias`, 1));
}

/** One linear layer, [out, in] in both; a missing bias is 0. */
export function mapLinear(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  to: string,
): void {
  const weight = weights.take(`${from}.weight`, 2);
  mapped.set(`${to}.weight`, weight);
  setBias(mapped, `${to}.bias`, weights.optional(`${from}.bias`, 1), weight.shape[0] ?? 0);
}

function setBias(mapped: MappedWeights, name: string, bias: Values | null, width: number): void {
  if (bias === null) mapped.make(name, zeros(width));
  else mapped.set(name, bias);
}

/** One pre-norm block with self-attention; `norms` names its norms where they are not the usual ones. */
export function mapBlock(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  to: string,
  norms: readonly [Names, Names] = [parts.norm1, parts.norm2],
): void {
  const named = (names: Names): string =>
    weights.nameOf(names.map((name) => `${from}.${name}.weight`)).slice(0, -'.weight'.length);
  mapNorm(weights, named(norms[0]), mapped, `${to}.norm1`);
  mapAttention(weights, from, mapped, to, named);
  mapLinear(weights, named(parts.proj), mapped, `${to}.attn.proj`);
  mapNorm(weights, named(norms[1]), mapped, `${to}.norm2`);
  mapLinear(weights, named(parts.fc1), mapped, `${to}.mlp.fc1`);
  mapLinear(weights, named(parts.fc2), mapped, `${to}.mlp.fc2`);
}

function mapAttention(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  to: string,
  named: (names: Names) => string,
): void {
  const fused = named(parts.fused);
  if (weights.has(`${fused}.weight`)) {
    mapLinear(weights, fused, mapped, `${to}.attn.qkv`);
    return;
  }
  const separate = [parts.q, parts.k, parts.v].map(named);
  const matrices = separate.map((name) => weights.take(`${name}.weight`, 2));
  mapped.set(`${to}.attn.qkv.weight`, stacked(matrices));
  const width = matrices[0]?.shape[0] ?? 0;
  const biases = ['q', 'k', 'v'].map(
    (letter, i) =>
      weights.optional(`${separate[i]}.bias`, 1) ??
      weights.optional(`${from}.attention.attention.${letter}_bias`, 1),
  );
  // VideoMAE has biases on queries and values alone: one on the keys would change nothing.
  const bias = stacked(biases.map((found) => found ?? zeros(width)));
  if (biases.every((found) => found !== null)) mapped.set(`${to}.attn.qkv.bias`, bias);
  else mapped.make(`${to}.attn.qkv.bias`, bias);
}

/** A stack of blocks; returns how many. At least one is expected. */
export function mapBlocks(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  to: string,
): number {
  const depth = weights.count(from);
  if (depth === 0) weights.fail(`${from}.0`);
  for (let i = 0; i < depth; i++) mapBlock(weights, `${from}.${i}`, mapped, `${to}.${i}`);
  return depth;
}

/** Hidden width of the first block's MLP over its token width. */
export function mlpRatioOf(mapped: MappedWeights, block: string): number {
  const [hidden = 0, width = 1] = mapped.values[`${block}.mlp.fc1.weight`]?.shape ?? [];
  return hidden / width;
}
