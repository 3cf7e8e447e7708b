// SPDX-License-Identifier: Apache-2.0
// An encoder under the names and in the layout of Hugging Face's ViT-MAE or VideoMAE, for PyTorch's `transformers`.
// Both keep patches as convolutions, queries, keys and values apart; VideoMAE has no bias on keys (softmax does not see one)
// and positions that no file holds.
import { CheckpointError, ConfigError } from '@diffmavil/core';

import { audioOf, patchValues, tokenCount, videoOf } from '../config.ts';
import type { AudioConfig, Modality, ModelConfig } from '../config.ts';
import { positionTable } from '../positions.ts';

export type HuggingFaceFormat = 'hf-vitmae' | 'hf-videomae';

/** A tensor on the host, row-major. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Content of config.json, and the tensors of model.safetensors. */
export interface HuggingFaceModel {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, HostTensor>>;
}

export interface HuggingFaceOptions {
  readonly format: HuggingFaceFormat;
  /** Default: 'video' for VideoMAE; for ViT-MAE the modality that fits, sound before video. */
  readonly modality?: Modality;
}

type Weights = Readonly<Record<string, HostTensor>>;

/**
 * The encoder of one modality as `ViTMAEModel` or `VideoMAEModel` reads it, features unchanged.
 *
 * ViT-MAE takes sound (one channel, [frames, mels]) or single frames, with a class token and a last LayerNorm; VideoMAE takes video
 * without class token whose learned positions are VideoMAE's own (as they are in a model that came from there).
 *
 * @throws ConfigError naming what the other model has no place for, CheckpointError for a weight that is missing.
 */
export function toHuggingFace(
  config: ModelConfig,
  weights: Weights,
  options: HuggingFaceOptions,
): HuggingFaceModel {
  const { format } = options;
  const modality = options.modality ?? defaultModality(config, format);
  const fault = misfit(config, weights, format, modality);
  if (fault !== null) throw new ConfigError(`toHuggingFace: ${format}: expected ${fault}`);
  return format === 'hf-vitmae' ? vitMae(config, weights, modality) : videoMae(config, weights);
}

function defaultModality(config: ModelConfig, format: HuggingFaceFormat): Modality {
  return format === 'hf-videomae' || config.audio === null ? 'video' : 'audio';
}

/** What the format has no place for: a clause, or null. */
function misfit(
  config: ModelConfig,
  weights: Weights,
  format: HuggingFaceFormat,
  modality: Modality,
): string | null {
  const { classToken, distillationToken, finalNorm } = config.encoder;
  if (config[modality] === null) return `a model with ${modality}, got ${modality}: null`;
  if (distillationToken) return 'encoder.distillationToken false, got true';
  if (config.fusion.kind === 'modality-norms') {
    return "embeddings straight from the encoder, got fusion.kind 'modality-norms'";
  }
  if (format === 'hf-vitmae') {
    if (!classToken) return 'encoder.classToken true, got false';
    if (!finalNorm) return 'encoder.finalNorm true, got false';
    if (modality === 'audio') return overlap(config);
    const { frames, tubelet } = videoOf(config);
    return frames * tubelet === 1 ? null : `video of one frame, got video.frames ${frames}`;
  }
  if (modality === 'audio') return "modality 'video', got 'audio'";
  if (classToken) return 'encoder.classToken false, got true';
  return samePositions(config, weights) ? null : "VideoMAE's positions, got others";
}

function overlap(config: ModelConfig): string | null {
  const { patch, stride } = audioOf(config);
  return stride === patch ? null : `audio.stride equal to audio.patch (${patch}), got ${stride}`;
}

function vitMae(config: ModelConfig, weights: Weights, modality: Modality): HuggingFaceModel {
  const { width } = config.encoder;
  const name = `${modality}_encoder`;
  const audio = modality === 'audio' ? audioOf(config) : null;
  const channels = audio === null ? 3 : 1;
  const size = audio === null ? videoOf(config).size : [audio.frames, audio.mels];
  const patch = (audio ?? videoOf(config)).patch;
  const kernel = convolution(config, weights, modality);
  return {
    config: {
      architectures: ['ViTMAEModel'],
      model_type: 'vit_mae',
      ...common(config),
      qkv_bias: true,
      image_size: size,
      patch_size: patch,
      num_channels: channels,
      ...(audio && spectrogramSize(audio)),
      // All is seen. Not 0, which JSON cannot tell from a whole number and `transformers` then refuses; 1 - 1e-20 is 1.
      mask_ratio: 1e-20,
    },
    tensors: {
      'vit.embeddings.cls_token': weightOf(weights, `${name}.cls_token`),
      'vit.embeddings.position_embeddings': tableWithClassToken(config, weights, modality),
      'vit.embeddings.patch_embeddings.projection.weight': {
        shape: [width, channels, patch, patch],
        data: kernel,
      },
      'vit.embeddings.patch_embeddings.projection.bias': weightOf(
        weights,
        `${name}.patch_embed.bias`,
      ),
      ...layers(config, weights, modality, 'vit', 'all'),
      ...affine(weights, `${stackOf(config, modality)}.norm`, 'vit.layernorm'),
    },
  };
}

/** Of no use to ViT-MAE, but to those who read the file back: AST's names for what a spectrogram is. */
function spectrogramSize({ frames, mels, patch }: AudioConfig): Record<string, number> {
  return { max_length: frames, num_mel_bins: mels, time_stride: patch, frequency_stride: patch };
}

function videoMae(config: ModelConfig, weights: Weights): HuggingFaceModel {
  const { width, finalNorm } = config.encoder;
  const { frames, size, tubelet, patch } = videoOf(config);
  const embeddings = 'videomae.embeddings.patch_embeddings.projection';
  return {
    config: {
      architectures: ['VideoMAEModel'],
      model_type: 'videomae',
      ...common(config),
      qkv_bias: true,
      image_size: size,
      patch_size: patch,
      num_channels: 3,
      num_frames: frames,
      tubelet_size: tubelet,
      // With it the encoder ends without LayerNorm.
      use_mean_pooling: !finalNorm,
    },
    tensors: {
      [`${embeddings}.weight`]: {
        shape: [width, 3, tubelet, patch, patch],
        data: convolution(config, weights, 'video'),
      },
      [`${embeddings}.bias`]: weightOf(weights, 'video_encoder.patch_embed.bias'),
      ...layers(config, weights, 'video', 'videomae', 'query and value'),
      ...(finalNorm
        ? affine(weights, `${stackOf(config, 'video')}.norm`, 'videomae.layernorm')
        : {}),
    },
  };
}

function common({ encoder }: ModelConfig): Record<string, unknown> {
  const { width, depth, heads, mlpRatio, normEpsilon } = encoder;
  return {
    hidden_size: width,
    num_hidden_layers: depth,
    num_attention_heads: heads,
    intermediate_size: width * mlpRatio,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    layer_norm_eps: normEpsilon,
  };
}

/** The blocks, under `model`.encoder.layer.i; `biases` says which thirds of the projection keep theirs. */
function layers(
  config: ModelConfig,
  weights: Weights,
  modality: Modality,
  model: string,
  biases: 'all' | 'query and value',
): Record<string, HostTensor> {
  const made: Record<string, HostTensor> = {};
  for (let i = 0; i < config.encoder.depth; i++) {
    const from = `${stackOf(config, modality)}.blocks.${i}`;
    const to = `${model}.encoder.layer.${i}`;
    const attention = `${to}.attention.attention`;
    const weight = weightOf(weights, `${from}.attn.qkv.weight`);
    const bias = weightOf(weights, `${from}.attn.qkv.bias`);
    for (const [third, part] of ['query', 'key', 'value'].entries()) {
      made[`${attention}.${part}.weight`] = thirdOf(weight, third);
      if (biases === 'all') made[`${attention}.${part}.bias`] = thirdOf(bias, third);
      else if (part !== 'key') made[`${attention}.${part.charAt(0)}_bias`] = thirdOf(bias, third);
    }
    Object.assign(
      made,
      affine(weights, `${from}.attn.proj`, `${to}.attention.output.dense`),
      affine(weights, `${from}.norm1`, `${to}.layernorm_before`),
      affine(weights, `${from}.norm2`, `${to}.layernorm_after`),
      affine(weights, `${from}.mlp.fc1`, `${to}.intermediate.dense`),
      affine(weights, `${from}.mlp.fc2`, `${to}.output.dense`),
    );
  }
  return made;
}

function affine(weights: Weights, from: string, to: string): Record<string, HostTensor> {
  return {
    [`${to}.weight`]: weightOf(weights, `${from}.weight`),
    [`${to}.bias`]: weightOf(weights, `${from}.bias`),
  };
}

/** Queries', keys' or values' rows of a fused projection. */
function thirdOf({ shape, data }: HostTensor, third: number): HostTensor {
  const rows = (shape[0] ?? 0) / 3;
  const length = data.length / 3;
  const part = data.subarray(third * length, (third + 1) * length);
  return { shape: [rows, ...shape.slice(1)], data: part };
}

/** Patch weights [width, frame, row, column, channel] -> [width, channel, frame, row, column]. */
function convolution(config: ModelConfig, weights: Weights, modality: Modality): Float32Array {
  const { data } = weightOf(weights, `${modality}_encoder.patch_embed.weight`);
  if (modality === 'audio') return data;
  const values = patchValues(config, 'video');
  const kernel = new Float32Array(data.length);
  for (let at = 0; at < data.length; at++) {
    const start = Math.floor(at / values) * values;
    const [place, channel] = [Math.floor((at - start) / 3), (at - start) % 3];
    kernel[start + (channel * values) / 3 + place] = data[at] ?? 0;
  }
  return kernel;
}

/** What is added to the embedded patches: positions, and the modality token if there is one. [tokens, width] */
function positionsOf(config: ModelConfig, weights: Weights, modality: Modality): Float32Array {
  const { width, positions, modalityToken } = config.encoder;
  const name = `${modality}_encoder`;
  const table =
    positions === 'learned'
      ? weightOf(weights, `${name}.positions`).data
      : positionTable(config, modality, width);
  if (!modalityToken) return table;
  const token = weightOf(weights, `${name}.modality_token`).data;
  return table.map((x, i) => x + (token[i % width] ?? 0));
}

/** Positions in a table whose first row is the class token's: zeros, as it has no position here. */
function tableWithClassToken(
  config: ModelConfig,
  weights: Weights,
  modality: Modality,
): HostTensor {
  const { width } = config.encoder;
  const shape = [1, tokenCount(config, modality) + 1, width];
  const table = positionsOf(config, weights, modality);
  return { shape, data: concatenated(new Float32Array(width), table) };
}

/** Whether what is added to the patches is the table that VideoMAE fixes. */
function samePositions(config: ModelConfig, weights: Weights): boolean {
  const { width } = config.encoder;
  const table = positionsOf(config, weights, 'video');
  // One axis over all tokens; sine and cosine of a frequency side by side.
  return table.every((x, at) => {
    const [position, i] = [Math.floor(at / width), at % width];
    const angle = position / 10000 ** ((i - (i % 2)) / width);
    return Math.abs(x - (i % 2 === 0 ? Math.sin(angle) : Math.cos(angle))) <= 1e-5;
  });
}

function stackOf(config: ModelConfig, modality: Modality): string {
  return config.encoder.sharing === 'shared' ? 'shared_encoder' : `${modality}_encoder`;
}

function concatenated(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function weightOf(weights: Weights, name: string): HostTensor {
  const weight = weights[name];
  if (weight !== undefined) return weight;
  throw new CheckpointError(`toHuggingFace: expected a weight named ${name}, got none`);
}
