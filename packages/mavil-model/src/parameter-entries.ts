// SPDX-License-Identifier: Apache-2.0
// Which weights each module of a configuration has: name, shape, initial distribution. Names and layout are
// PyTorch's (Linear weight [out, in]).
import { ConfigError } from '@diffmavil/core';

import { modalities, patchValues, targetPatchValues, targetValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { biasHidden } from './cosine-window.ts';
import { positionTable } from './positions.ts';

/** One weight. */
export interface Entry {
  readonly name: string;
  readonly shape: readonly number[];
  /** 'xavier': uniform with bound sqrt(6 / (in + out)); a number: normal with that standard deviation; or the values. */
  readonly init: 'xavier' | 'zeros' | 'ones' | number | (() => Float32Array);
}

const tokenStd = 0.02;
const headStd = 2e-5;

function linear(name: string, out: number, into: number, init: Entry['init'] = 'xavier'): Entry[] {
  return [
    { name: `${name}.weight`, shape: [out, into], init },
    { name: `${name}.bias`, shape: [out], init: 'zeros' },
  ];
}

function norm(name: string, width: number): Entry[] {
  return [
    { name: `${name}.weight`, shape: [width], init: 'ones' },
    { name: `${name}.bias`, shape: [width], init: 'zeros' },
  ];
}

/** A learned token, added or put in front. */
function token(name: string, width: number, present: boolean = true, count: number = 1): Entry[] {
  return present ? [{ name, shape: [1, count, width], init: tokenStd }] : [];
}

/** Learned positions start from the fixed ones. */
function positions(
  config: ModelConfig,
  modality: Modality,
  name: string,
  { positions: kind, width }: { readonly positions: string; readonly width: number },
): Entry[] {
  if (kind === 'sincos') return [];
  const shape = [1, tokenCount(config, modality), width];
  return [{ name, shape, init: () => positionTable(config, modality, width) }];
}

/** Fused qkv is one xavier matrix [3 width, width], as in MAE and AudioMAE. */
function block(name: string, width: number, hidden: number, attention: Entry[]): Entry[] {
  return [
    ...norm(`${name}.norm1`, width),
    ...attention,
    ...linear(`${name}.attn.proj`, width, width),
    ...norm(`${name}.norm2`, width),
    ...linear(`${name}.mlp.fc1`, hidden, width),
    ...linear(`${name}.mlp.fc2`, width, hidden),
  ];
}

function selfBlock(name: string, width: number, hidden: number): Entry[] {
  return block(name, width, hidden, linear(`${name}.attn.qkv`, 3 * width, width));
}

function crossBlock(name: string, width: number, hidden: number): Entry[] {
  return block(name, width, hidden, [
    ...linear(`${name}.attn.q`, width, width),
    ...linear(`${name}.attn.kv`, 2 * width, width),
  ]);
}

/** A block of CAV-MAE: one attention and one MLP, LayerNorms for the joint pass and for each modality's own. */
function modalityNormBlock(name: string, width: number, hidden: number): Entry[] {
  const own = ['norm1', 'norm2'].flatMap((part) =>
    ['audio', 'video'].flatMap((modality) => norm(`${name}.${part}_${modality}`, width)),
  );
  return [...selfBlock(name, width, hidden), ...own];
}

function repeat(depth: number, make: (index: number) => Entry[]): Entry[] {
  return Array.from({ length: depth }, (_, index) => make(index)).flat();
}

function encoderTokens(config: ModelConfig, modality: Modality): Entry[] {
  const { encoder } = config;
  const { width, classToken, distillationToken, modalityToken } = encoder;
  const name = `${modality}_encoder`;
  return [
    ...linear(`${name}.patch_embed`, width, patchValues(config, modality)),
    ...token(`${name}.cls_token`, width, classToken),
    ...token(`${name}.dist_token`, width, distillationToken),
    ...token(`${name}.modality_token`, width, modalityToken),
    ...positions(config, modality, `${name}.positions`, encoder),
  ];
}

function encoderStack(config: ModelConfig, name: string): Entry[] {
  const { width, depth, mlpRatio, finalNorm } = config.encoder;
  return [
    ...repeat(depth, (i) => selfBlock(`${name}.blocks.${i}`, width, width * mlpRatio)),
    ...(finalNorm ? norm(`${name}.norm`, width) : []),
  ];
}

/** The encoders of `present`: what is each modality's own, and the blocks. */
export function encoderEntries(config: ModelConfig, present: readonly Modality[]): Entry[] {
  if (config.encoder.sharing === 'shared') {
    const own = present.flatMap((modality) => encoderTokens(config, modality));
    return [...own, ...encoderStack(config, 'shared_encoder')];
  }
  return present.flatMap((modality) => [
    ...encoderTokens(config, modality),
    ...encoderStack(config, `${modality}_encoder`),
  ]);
}

/** Blocks, bottleneck tokens and norms of the fusion. */
export function fusionEntries(config: ModelConfig): Entry[] {
  const { width, mlpRatio } = config.encoder;
  const { kind, depth, bottlenecks, finalNorm } = config.fusion;
  const hidden = width * mlpRatio;
  const last = finalNorm ? norm('fusion.norm', width) : [];
  switch (kind) {
    case 'none':
      return [];
    case 'joint':
      return [...repeat(depth, (i) => selfBlock(`fusion.blocks.${i}`, width, hidden)), ...last];
    case 'bottleneck':
      return [
        ...token('fusion.bottleneck', width, true, bottlenecks),
        ...repeat(depth, (i) => [
          ...selfBlock(`fusion.audio_blocks.${i}`, width, hidden),
          ...selfBlock(`fusion.video_blocks.${i}`, width, hidden),
        ]),
        ...last,
      ];
    case 'modality-norms':
      return [
        ...repeat(depth, (i) => modalityNormBlock(`fusion.blocks.${i}`, width, hidden)),
        ...last,
        ...(finalNorm
          ? modalities(config).flatMap((modality) => norm(`fusion.norm_${modality}`, width))
          : []),
      ];
    default:
      return kind satisfies never;
  }
}

/** The decoders: what is each modality's own, and the blocks. */
export function decoderEntries(config: ModelConfig): Entry[] {
  const { width, depth, sharing } = config.decoder;
  const hidden = width * config.encoder.mlpRatio;
  const own = modalities(config).flatMap((modality) => decoderOwn(config, modality));
  if (sharing === 'separate') return own;
  return [
    ...own,
    ...(sharing === 'joint' ? decoderInput(config, 'shared_decoder') : []),
    ...repeat(depth, (i) => selfBlock(`shared_decoder.blocks.${i}`, width, hidden)),
    ...norm('shared_decoder.norm', width),
  ];
}

/** How visible tokens come in, and the mask token if there is one. */
function decoderInput(config: ModelConfig, name: string): Entry[] {
  const { width } = config.decoder;
  return [
    ...linear(`${name}.embed`, width, config.encoder.width),
    ...token(`${name}.mask_token`, width, config.masked.kind === 'mask-token'),
  ];
}

function decoderOwn(config: ModelConfig, modality: Modality): Entry[] {
  const { decoder } = config;
  const { width, depth, sharing, videoAttention, classToken, modalityToken } = decoder;
  const name = `${modality}_decoder`;
  const cross = modality === 'video' && videoAttention === 'cross';
  const stack = [
    ...repeat(depth, (i) => decoderBlock(config, modality, `${name}.blocks.${i}`)),
    ...(cross ? norm(`${name}.context_norm`, width) : []),
    ...norm(`${name}.norm`, width),
  ];
  return [
    ...(sharing === 'joint' ? [] : decoderInput(config, name)),
    ...(config.masked.kind === 'diffused'
      ? linear(`${name}.noised_embed`, width, targetPatchValues(config, modality))
      : []),
    ...token(`${name}.cls_token`, width, classToken === 'learned'),
    ...token(`${name}.modality_token`, width, modalityToken),
    ...positions(config, modality, `${name}.positions`, decoder),
    ...(sharing === 'separate' ? stack : []),
    ...linear(`${name}.head`, targetValues(config, modality), width),
  ];
}

function decoderBlock(config: ModelConfig, modality: Modality, name: string): Entry[] {
  const { width, heads, window, audioAttention, videoAttention } = config.decoder;
  const hidden = width * config.encoder.mlpRatio;
  if (modality === 'video') {
    return videoAttention === 'cross'
      ? crossBlock(name, width, hidden)
      : selfBlock(name, width, hidden);
  }
  const plain = selfBlock(name, width, hidden);
  switch (audioAttention) {
    case 'global':
      return plain;
    case 'window': {
      // Choice: the bias starts N(0, 0.02), as Swin's; the papers say nothing.
      const offsets = (2 * window[0] - 1) * (2 * window[1] - 1);
      return [...plain, { name: `${name}.rel_bias`, shape: [offsets, heads], init: tokenStd }];
    }
    case 'cosine-window':
      return [
        ...plain,
        { name: `${name}.attn.tau`, shape: [heads], init: 'ones' },
        ...linear(`${name}.attn.bias_mlp.fc1`, biasHidden, 2),
        ...linear(`${name}.attn.bias_mlp.fc2`, heads, biasHidden),
      ];
    default:
      return audioAttention satisfies never;
  }
}

/** What a classifier reads: one modality's tokens, or both fused. */
export type ClassifierInput = Modality | 'both';

/** Name of a classifier's head. */
export function headName(input: ClassifierInput): string {
  return input === 'both' ? 'av_head' : `${input}_head`;
}

/** LayerNorm and linear layer over the mean tokens; those of both modalities side by side, unless `classifier.joint` is 'mean'. */
export function headEntries(config: ModelConfig, input: ClassifierInput, classes: number): Entry[] {
  const sideBySide = input === 'both' && config.classifier.joint === 'side-by-side';
  const width = config.encoder.width * (sideBySide ? 2 : 1);
  if (!Number.isInteger(classes) || classes < 1) {
    throw new ConfigError(`classifier: expected a whole number of classes from 1, got ${classes}`);
  }
  const name = headName(input);
  return [
    ...norm(`${name}.norm`, width),
    // AudioMAE truncates at +-2 absolute, 100000 standard deviations, so a plain normal is the same.
    ...linear(`${name}.linear`, classes, width, headStd),
  ];
}

/** All weights of a classifier: encoders, the fusion when it reads both, the head. */
export function classifierEntries(
  config: ModelConfig,
  input: ClassifierInput,
  classes: number,
): Entry[] {
  return [
    ...encoderEntries(config, input === 'both' ? modalities(config) : [input]),
    ...(input === 'both' ? fusionEntries(config) : []),
    ...headEntries(config, input, classes),
  ];
}

/** All weights of a pre-training model, in forward order. */
export function pretrainEntries(config: ModelConfig): Entry[] {
  return [
    ...encoderEntries(config, modalities(config)),
    ...fusionEntries(config),
    ...decoderEntries(config),
  ];
}
