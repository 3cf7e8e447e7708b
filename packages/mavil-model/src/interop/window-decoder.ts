// SPDX-License-Identifier: Apache-2.0
// AudioMAE's decoder: windows of 4 x 4 tokens, every second block shifted by two rows (its code leaves the columns
// unshifted), cosine attention. Window masks and offsets are not stored; they follow from the sizes.
import type { DecoderConfig } from '../config.ts';
import { mapLinear, mapNorm } from './blocks.ts';
import type { MappedWeights } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import type { Placement } from './vit-positions.ts';

const window = 4;
const shift: readonly [number, number] = [2, 0];

/** Maps the blocks and says how they attend. */
export function mapWindowDecoder(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
  module: string,
  { audio }: Placement,
): Partial<DecoderConfig> {
  const depth = weights.count(from);
  for (let i = 0; i < depth; i++) {
    const [theirs, ours] = [`${from}.${i}`, `${module}.blocks.${i}`];
    for (const norm of ['norm1', 'norm2']) {
      mapNorm(weights, `${theirs}.${norm}`, mapped, `${ours}.${norm}`);
    }
    for (const linear of ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2']) {
      mapLinear(weights, `${theirs}.${linear}`, mapped, `${ours}.${linear}`);
    }
    for (const linear of ['fc1', 'fc2']) {
      mapLinear(
        weights,
        `${theirs}.attn.meta_mlp.${linear}`,
        mapped,
        `${ours}.attn.bias_mlp.${linear}`,
      );
    }
    mapped.set(`${ours}.attn.tau`, weights.take(`${theirs}.attn.tau`, 1));
    weights.ignore(`${theirs}.attn_mask`, `${theirs}.attn.relative_coordinates_log`);
  }
  const { frames = 0, mels = 0, patch = 1 } = audio ?? {};
  return {
    depth,
    heads: weights.shapeOf(`${from}.0.attn.tau`)[0] ?? 0,
    audioAttention: 'cosine-window',
    window: [Math.min(window, frames / patch), Math.min(window, mels / patch)],
    shift,
  };
}
