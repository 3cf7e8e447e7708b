// SPDX-License-Identifier: Apache-2.0
// Video transformers with tubelet patches: Hugging Face's VideoMAE and SpatiotemporalMAE (mae_st).
import type { DecoderConfig, VideoConfig } from '../config.ts';
import { added, interleavedTable, separableTable, splitTable, tubeletKernel } from './arrays.ts';
import type { Values } from './arrays.ts';
import { mapBlocks, mapLinear, mapNorm, MappedWeights, mlpRatioOf } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import { mapHead } from './heads.ts';
import { kineticsSeconds, pixelStatistics, refuseOther, withoutContrast } from './mapping.ts';
import type { Format, Mapping } from './mapping.ts';
import { decoderHeads, encoderHeads, numberIn, squareSide } from './sizes.ts';
import { huggingFaceRoot } from './vit-formats.ts';

const kernelOf = (root: string): string => `${root}embeddings.patch_embeddings.projection`;

/** What all video sources share of a configuration. */
function videoConfig(
  weights: ForeignWeights,
  mapped: MappedWeights,
  video: Partial<VideoConfig>,
  encoder: NonNullable<Mapping['config']['encoder']>,
  decoder: Partial<DecoderConfig>,
): Mapping['config'] {
  const width = encoder.width ?? 0;
  return {
    audio: null,
    video,
    encoder: {
      heads: encoderHeads(weights, width),
      mlpRatio: mlpRatioOf(mapped, 'video_encoder.blocks.0'),
      positions: 'learned',
      ...encoder,
    },
    fusion: { kind: 'none' },
    decoder: { videoAttention: 'self', positions: 'learned', ...decoder },
    masked: { kind: 'mask-token' },
    loss: { ...withoutContrast, normalizeTargets: weights.config['norm_pix_loss'] !== false },
  };
}

/** Frames a decoder's head predicts, or all where there is none. */
function predictedFrames(
  weights: ForeignWeights,
  head: string,
  video: { frames: number; tubelet: number; patch: number },
): number {
  const rows = weights.shapeOf(`${head}.weight`)[0];
  if (rows === undefined) return video.frames;
  const perToken = rows / (3 * video.patch ** 2);
  if (perToken === video.tubelet) return video.frames;
  if (perToken === 1) return video.frames / video.tubelet;
  return weights.fail(`${head} to predict ${video.tubelet} or 1 frames`, `${perToken}`);
}

function mapPatches(
  weights: ForeignWeights,
  from: string,
  mapped: MappedWeights,
): { width: number; tubelet: number; patch: number } {
  const kernel = weights.take(`${from}.weight`, 5);
  mapped.set('video_encoder.patch_embed.weight', tubeletKernel(kernel));
  mapped.set('video_encoder.patch_embed.bias', weights.take(`${from}.bias`, 1));
  const [width = 0, , tubelet = 1, patch = 1] = kernel.shape;
  return { width, tubelet, patch };
}

/** VideoMAE as Hugging Face saves it: no class token, no key bias, a fixed table that is not in the file. */
export const huggingFaceVideoMae: Format = {
  name: 'a Hugging Face VideoMAE',
  recognize: (weights) => {
    const root = huggingFaceRoot(weights);
    return root !== null && weights.shapeOf(`${kernelOf(root)}.weight`).length === 5;
  },
  map(weights, options) {
    refuseOther(weights, options, 'video');
    const root = huggingFaceRoot(weights) ?? '';
    const mapped = new MappedWeights();
    const { width, tubelet, patch } = mapPatches(weights, kernelOf(root), mapped);
    const frames = numberIn(weights, 'num_frames') ?? 16;
    const size = numberIn(weights, 'image_size') ?? 224;
    const tokens = (frames / tubelet) * (size / patch) ** 2;
    mapped.make('video_encoder.positions', interleavedTable(tokens, width));
    const depth = mapBlocks(weights, `${root}encoder.layer`, mapped, 'video_encoder.blocks');
    const finalNorm = weights.has(`${root}layernorm.weight`);
    if (finalNorm) mapNorm(weights, `${root}layernorm`, mapped, 'video_encoder.norm');
    const decoder = mapVideoMaeDecoder(weights, tokens, mapped);
    const video = { frames, size, tubelet, patch };
    const predictFrames = predictedFrames(weights, 'decoder.head', video);
    const normEpsilon = numberIn(weights, 'layer_norm_eps') ?? 1e-12;
    const encoder = { width, depth, finalNorm, normEpsilon };
    // Without fc_norm the classifier reads the first patch's token, which no head of ours does.
    const head = { norm: 'fc_norm', linear: 'classifier' };
    const classes = weights.has('fc_norm.weight')
      ? mapHead(weights, head, mapped, 'video_head')
      : null;
    weights.ignore('classifier.');
    return {
      weights: mapped,
      classes,
      video: { durationSeconds: kineticsSeconds, ...pixelStatistics(weights) },
      config: videoConfig(weights, mapped, { ...video, predictFrames }, encoder, decoder),
    };
  },
};

function mapVideoMaeDecoder(
  weights: ForeignWeights,
  tokens: number,
  mapped: MappedWeights,
): Partial<DecoderConfig> {
  if (!weights.has('encoder_to_decoder.weight')) return {};
  mapLinear(weights, 'encoder_to_decoder', mapped, 'video_decoder.embed');
  mapped.set('video_decoder.mask_token', weights.take('mask_token', 3));
  const width = weights.shapeOf('encoder_to_decoder.weight')[0] ?? 0;
  mapped.make('video_decoder.positions', interleavedTable(tokens, width));
  const depth = mapBlocks(weights, 'decoder.decoder_layers', mapped, 'video_decoder.blocks');
  mapNorm(weights, 'decoder.norm', mapped, 'video_decoder.norm');
  mapLinear(weights, 'decoder.head', mapped, 'video_decoder.head');
  return { width, depth, heads: decoderHeads(weights, width, 64) };
}

/** SpatiotemporalMAE (mae_st): query, key and value apart, learned positions over space and time [SpatiotemporalMAE §3]. */
export const spatiotemporalMae: Format = {
  name: 'a SpatiotemporalMAE (mae_st)',
  recognize: (weights) => weights.shapeOf('patch_embed.proj.weight').length === 5,
  map(weights, options) {
    refuseOther(weights, options, 'video');
    const mapped = new MappedWeights();
    const { width, tubelet, patch } = mapPatches(weights, 'patch_embed.proj', mapped);
    const classToken = weights.has('cls_token');
    const table = takeTable(weights, 'pos_embed', classToken);
    mapped.set('video_encoder.positions', table.patches);
    if (classToken) {
      const token = weights.take('cls_token', 3);
      mapped.set('video_encoder.cls_token', table.first ? added(token, table.first) : token);
    }
    const depth = mapBlocks(weights, 'blocks', mapped, 'video_encoder.blocks');
    const linear = weights.has('head.projection.weight') ? 'head.projection' : 'head';
    const classifies = weights.has(`${linear}.weight`);
    // A classifier has its norm behind the mean, a pre-trained model on every token.
    if (!classifies) mapNorm(weights, 'norm', mapped, 'video_encoder.norm');
    const size = table.side * patch;
    const video = { frames: table.times * tubelet, size, tubelet, patch };
    const predictFrames = predictedFrames(weights, 'decoder_pred', video);
    const encoder = { width, depth, classToken, finalNorm: !classifies, normEpsilon: 1e-6 };
    const decoder = mapSpatiotemporalDecoder(weights, classToken, mapped);
    return {
      weights: mapped,
      classes: classifies ? mapHead(weights, { norm: 'norm', linear }, mapped, 'video_head') : null,
      video: {
        durationSeconds: kineticsSeconds,
        mean: [0.45, 0.45, 0.45],
        std: [0.225, 0.225, 0.225],
        ...pixelStatistics(weights),
      },
      config: videoConfig(weights, mapped, { ...video, predictFrames }, encoder, decoder),
    };
  },
};

interface TubeletTable {
  /** [1, times * side^2, width]. */
  readonly patches: Values;
  /** The class token's row, if there is one. */
  readonly first: Values | null;
  readonly times: number;
  readonly side: number;
}

/** A table over space plus one over time, or one over all tokens. */
function takeTable(weights: ForeignWeights, name: string, classToken: boolean): TubeletTable {
  const spatial = weights.optional(`${name}_spatial`, 3);
  if (spatial !== null) {
    const temporal = weights.take(`${name}_temporal`, 3);
    return {
      patches: separableTable(spatial, temporal),
      first: classToken ? weights.take(`${name}_class`, 3) : null,
      times: temporal.shape[1] ?? 0,
      side: squareSide(weights, spatial.shape[1] ?? 0, `${name}_spatial`),
    };
  }
  const { first, rest } = splitTable(weights.take(name, 3), Number(classToken));
  const patch = weights.shapeOf('patch_embed.proj.weight')[3] ?? 16;
  const side = (numberIn(weights, 'image_size') ?? 224) / patch;
  const times = (rest.shape[1] ?? 0) / side ** 2;
  if (!Number.isInteger(times)) {
    weights.fail(
      `positions of ${side} x ${side} places ("image_size")`,
      `${rest.shape[1]} of them`,
    );
  }
  return { patches: rest, first: classToken ? first : null, times, side };
}

function mapSpatiotemporalDecoder(
  weights: ForeignWeights,
  classToken: boolean,
  mapped: MappedWeights,
): Partial<DecoderConfig> {
  if (!weights.has('decoder_embed.weight')) return {};
  mapLinear(weights, 'decoder_embed', mapped, 'video_decoder.embed');
  mapped.set('video_decoder.mask_token', weights.take('mask_token', 3));
  const table = takeTable(weights, 'decoder_pos_embed', classToken);
  mapped.set('video_decoder.positions', table.patches);
  if (classToken) {
    const token = weights.take('decoder_cls_token', 3);
    mapped.set('video_decoder.cls_token', table.first ? added(token, table.first) : token);
  }
  const depth = mapBlocks(weights, 'decoder_blocks', mapped, 'video_decoder.blocks');
  mapNorm(weights, 'decoder_norm', mapped, 'video_decoder.norm');
  mapLinear(weights, 'decoder_pred', mapped, 'video_decoder.head');
  const width = weights.shapeOf('decoder_embed.weight')[0] ?? 0;
  return {
    width,
    depth,
    heads: decoderHeads(weights, width, 32),
    classToken: classToken ? 'learned' : 'none',
  };
}
