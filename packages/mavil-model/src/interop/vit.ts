// SPDX-License-Identifier: Apache-2.0
// Vision transformers on images and spectrograms: timm's ViT, MAE and AudioMAE with their decoders, Hugging Face's ViT,
// ViT-MAE and AST. They differ in names, in what is beside the patches, and in the head.
import type { DecoderConfig, EncoderConfig, Modality } from '../config.ts';
import { added, splitTable } from './arrays.ts';
import type { Values } from './arrays.ts';
import { mapBlocks, mapLinear, mapNorm, MappedWeights, mlpRatioOf } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import { mapHead } from './heads.ts';
import type { Head } from './heads.ts';
import { mapWindowDecoder } from './window-decoder.ts';
import { pixelStatistics, withoutContrast } from './mapping.ts';
import type { ConvertOptions, Mapping } from './mapping.ts';
import { decoderHeads, encoderHeads, numberIn } from './sizes.ts';
import { placePatches } from './vit-positions.ts';
import type { Placement } from './vit-positions.ts';

/** Names of a vision transformer's parts. */
export interface VitNames {
  readonly patch: string;
  /** Class token and distillation token; either may be missing. */
  readonly inFront: readonly string[];
  readonly positions: string;
  readonly blocks: string;
  readonly norm: string;
  readonly decoder: DecoderNames;
}

export interface DecoderNames {
  readonly embed: string;
  readonly maskToken: string;
  readonly positions: string;
  readonly blocks: string;
  readonly norm: string;
  readonly head: string;
}

export interface VitSource {
  readonly names: VitNames;
  readonly epsilon: number;
  readonly frequencyMajor: boolean;
  readonly head: Head | null;
  /** Whether target patches were normalised, where config.json does not say. */
  readonly normalizeTargets: boolean;
}

/** One encoder, its decoder and its head where they are there. */
export function mapVit(
  weights: ForeignWeights,
  source: VitSource,
  options: ConvertOptions,
): Mapping {
  const mapped = new MappedWeights();
  const { place, encoder, inFront } = mapEncoder(weights, source, options, mapped);
  const { modality } = place;
  const decoder = mapDecoder(weights, source.names, place, inFront, mapped);
  const keptHead = place.sameInputs ? source.head : null;
  const told = weights.config['norm_pix_loss'];
  return {
    weights: mapped,
    classes: keptHead === null ? null : mapHead(weights, keptHead, mapped, `${modality}_head`),
    ...(modality === 'video' && { video: pixelStatistics(weights) }),
    ...(modality === 'audio' && { audio: audioStatistics(weights) }),
    config: {
      audio: place.audio,
      video: place.video,
      encoder,
      fusion: { kind: 'none' },
      decoder,
      ...(keptHead && {
        classifier: { pooling: keptHead.pooling, finalNorm: keptHead.finalNorm },
      }),
      masked: { kind: 'mask-token' },
      loss: {
        ...withoutContrast,
        normalizeTargets: typeof told === 'boolean' ? told : source.normalizeTargets,
      },
    },
  };
}

/** The encoder: where its patches go, its configuration, and how many tokens it has in front of them. */
function mapEncoder(
  weights: ForeignWeights,
  { names, epsilon, frequencyMajor }: VitSource,
  options: ConvertOptions,
  mapped: MappedWeights,
): { place: Placement; encoder: Partial<EncoderConfig>; inFront: number } {
  const kernel = weights.take(`${names.patch}.weight`, 4);
  const inFront = names.inFront.filter((name) => weights.has(name));
  const { first, rest } = splitTable(weights.take(names.positions, 3), inFront.length);
  const tokens = rest.shape[1] ?? 0;
  const place = placePatches(weights, kernel.shape, tokens, { ...options, frequencyMajor });
  const module = `${place.modality}_encoder` as const;
  mapped.set(`${module}.patch_embed.weight`, place.kernel(kernel));
  mapped.set(`${module}.patch_embed.bias`, weights.take(`${names.patch}.bias`, 1));
  mapTokensInFront(weights, inFront, first, mapped, module);
  mapped.set(`${module}.positions`, place.table(rest));
  const depth = mapBlocks(weights, names.blocks, mapped, `${module}.blocks`);
  const finalNorm = weights.has(`${names.norm}.weight`);
  if (finalNorm) mapNorm(weights, names.norm, mapped, `${module}.norm`);
  const width = kernel.shape[0] ?? 0;
  const encoder = {
    width,
    depth,
    heads: encoderHeads(weights, width),
    mlpRatio: mlpRatioOf(mapped, `${module}.blocks.0`),
    classToken: inFront.length > 0,
    distillationToken: inFront.length > 1,
    finalNorm,
    positions: 'learned',
    normEpsilon: numberIn(weights, 'layer_norm_eps') ?? epsilon,
  } as const;
  return { place, encoder, inFront: inFront.length };
}

/** Class tokens, with the positions that the source adds to them. */
function mapTokensInFront(
  weights: ForeignWeights,
  names: readonly string[],
  places: Values,
  mapped: MappedWeights,
  module: string,
): void {
  const width = places.shape[2] ?? 0;
  for (const [i, name] of names.entries()) {
    const row = { shape: [1, 1, width], data: places.data.slice(i * width, (i + 1) * width) };
    const ours = `${module}.${i === 0 ? 'cls_token' : 'dist_token'}`;
    mapped.set(ours, added(weights.take(name, 3), row));
  }
}

/** Mean and deviation of the log-mel, from AST's preprocessor_config.json. */
function audioStatistics({ preprocessor }: ForeignWeights): Mapping['audio'] & object {
  const { mean, std } = preprocessor;
  return typeof mean === 'number' && typeof std === 'number' ? { mean, std } : {};
}

function mapDecoder(
  weights: ForeignWeights,
  names: VitNames,
  place: Placement,
  inFront: number,
  mapped: MappedWeights,
): Partial<DecoderConfig> {
  const { embed, maskToken, positions, blocks, norm, head } = names.decoder;
  const none = { audioAttention: 'global', videoAttention: 'self' } as const;
  if (!weights.has(`${embed}.weight`)) return none;
  if (!place.samePatches) {
    weights.ignore(`${embed}.`, maskToken, positions, `${blocks}.`, `${norm}.`, `${head}.`);
    return none;
  }
  const module = `${place.modality}_decoder` as const;
  mapLinear(weights, embed, mapped, `${module}.embed`);
  mapped.set(`${module}.mask_token`, weights.take(maskToken, 3));
  const { first, rest } = splitTable(weights.take(positions, 3), inFront);
  mapped.set(`${module}.positions`, place.table(rest));
  mapNorm(weights, norm, mapped, `${module}.norm`);
  mapLinear(weights, head, mapped, `${module}.head`);
  const width = weights.shapeOf(`${embed}.weight`)[0] ?? 0;
  const common = { width, positions: 'learned' } as const;
  if (weights.has(`${blocks}.0.attn.tau`)) {
    return { ...common, ...none, ...mapWindowDecoder(weights, blocks, mapped, module, place) };
  }
  // The class token has a row of its own in the table, which is nought in sine-cosine tables: ours has none.
  if (first.data.some((x) => Math.abs(x) > 1e-6)) {
    weights.fail(`zeros as the class token's position in ${positions}`, 'other numbers');
  }
  return {
    ...common,
    ...none,
    depth: mapBlocks(weights, blocks, mapped, `${module}.blocks`),
    heads: decoderHeads(weights, width, 32),
    classToken: inFront > 0 ? 'encoder' : 'none',
  };
}

/** Names of a decoder's parts that every MAE repository shares. */
export const maeDecoder: DecoderNames = {
  embed: 'decoder_embed',
  maskToken: 'mask_token',
  positions: 'decoder_pos_embed',
  blocks: 'decoder_blocks',
  norm: 'decoder_norm',
  head: 'decoder_pred',
};

/** Modality of a kernel by its channels. */
export function modalityOf(kernel: readonly number[]): Modality {
  return kernel[1] === 1 ? 'audio' : 'video';
}
