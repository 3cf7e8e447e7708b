// SPDX-License-Identifier: Apache-2.0
// Named configurations: three sizes of our own, the rows of the paper's Table 2 and the models it grows from,
// and beside each the masking-ratio curriculum it is pre-trained with.
import { ConfigError } from '@diffmavil/core';

import { defineModel } from './config.ts';
import type { ModelConfig, PartialModelConfig } from './config.ts';
import type { MaskCurricula } from './masking.ts';

const vitBase = { width: 768, depth: 12, heads: 12, mlpRatio: 4 };
const paperDecoder = { width: 512, depth: 8, heads: 16 };
// [DiffMAViL Table 5] fits a video decoder that predicts one frame of each tubelet (SpatiotemporalMAE's
// pred_t_dim), 768 values per token, in every row. Choice: so do all paper presets.
const paperVideo = { frames: 16, size: 224, tubelet: 2, patch: 16, predictFrames: 8 };
const paper = (rest: PartialModelConfig): ModelConfig =>
  defineModel({ video: paperVideo, encoder: vitBase, ...rest });

const uncontrasted = { interWeight: 0, intraWeight: 0 };
// AudioMAE: one branch, class token, 16 shifted-window blocks. Choice: Swin blocks as in DiffMAViL, shift on both axes.
const audioMae = {
  video: null,
  encoder: { ...vitBase, classToken: true },
  fusion: { kind: 'none' },
  decoder: { ...paperDecoder, depth: 16 },
} as const;

// Audiovisual MAE, base [AVS §A, §B]: no contrast, mask tokens, a narrow decoder of 4 blocks over both modalities' tokens in turn.
// Choice: sine-cosine positions of the grid in place of a table over the flattened sequence.
const avMae = (encoder: PartialModelConfig): ModelConfig =>
  defineModel({
    decoder: {
      width: 384,
      depth: 4,
      heads: 6,
      audioAttention: 'global',
      videoAttention: 'self',
      sharing: 'shared',
    },
    masked: { kind: 'mask-token' },
    loss: uncontrasted,
    ...encoder,
  });

const mavilV1 = {
  video: { frames: 8 },
  encoder: { ...vitBase, classToken: true, finalNorm: false },
  fusion: { finalNorm: false },
  decoder: { ...paperDecoder, audioAttention: 'global', videoAttention: 'self' },
  masked: { kind: 'mask-token' },
} as const;

const videoOnly = {
  audio: null,
  encoder: vitBase,
  fusion: { kind: 'none' },
} as const;

export type PresetName =
  | 'tiny'
  | 'small'
  | 'base'
  | 'paper-mavil'
  | 'paper-r1'
  | 'paper-r2'
  | 'paper-r3'
  | 'paper-r4'
  | 'mavil-v1'
  | 'mavil-v1-mbt'
  | 'mavil-v1-stage2'
  | 'audiomae'
  | 'audiomae-swin'
  | 'audiomae-diffusion'
  | 'videomae'
  | 'videomae-diffusion'
  | 'spatiotemporal-mae'
  | 'avmae'
  | 'avmae-early'
  | 'avmae-shared'
  | 'avmae-separate'
  | 'avmae-inpainting'
  | 'cav-mae';

const crossDiffused = paper({});

/** Every named configuration, checked and frozen. */
export const presets: Readonly<Record<PresetName, ModelConfig>> = {
  /** For tests: 64 audio and 32 video tokens, 76,092 parameters, every mechanism of the paper. */
  tiny: defineModel({
    audio: { frames: 64, mels: 64, patch: 8 },
    video: { frames: 4, size: 32, tubelet: 2, patch: 8 },
    encoder: { width: 24, depth: 2, heads: 3 },
    fusion: { depth: 1 },
    decoder: { width: 16, depth: 2, heads: 2 },
  }),
  /** For a laptop: 2.6 s of sound at 64 mels, 8 frames of 64 pixels, 5.7 million parameters. */
  small: defineModel({
    audio: { frames: 256, mels: 64, patch: 16 },
    video: { frames: 8, size: 64, tubelet: 2, patch: 16 },
    encoder: { width: 192, depth: 4, heads: 3 },
    fusion: { depth: 1 },
    decoder: { width: 128, depth: 2, heads: 4 },
  }),
  /** The defaults: the paper's sizes, cross-attention, diffused patches, all 16 frames predicted. */
  base: defineModel(),
  /** MAViL as the paper re-implements it (Table 1): mask tokens, self-attention in the video decoder. */
  'paper-mavil': paper({ masked: { kind: 'mask-token' }, decoder: { videoAttention: 'self' } }),
  /** DiffMAViL, Table 2 row R1: diffused patches, self-attention in the video decoder. */
  'paper-r1': paper({ decoder: { videoAttention: 'self' } }),
  /** DiffMAViL, Table 2 row R2: R1 with cross-attention in the video decoder. */
  'paper-r2': crossDiffused,
  /** DiffMAViL, Table 2 row R3: R2 trained with a mask ratio falling from 0.9 to 0.8. */
  'paper-r3': crossDiffused,
  /** DiffMAViL, Table 2 row R4: R3 trained with a batch size adapted to the mask ratio. */
  'paper-r4': crossDiffused,
  /** MAViL stage 1 as published: 8 frames, class tokens, global audio decoder, no LayerNorm around the fusion. */
  'mavil-v1': defineModel(mavilV1),
  /** MAViL stage 1 with its other fusion: two blocks per modality that meet in 4 tokens (MAViL §3.1, Table 2). */
  'mavil-v1-mbt': defineModel({ ...mavilV1, fusion: { kind: 'bottleneck', finalNorm: false } }),
  /** MAViL stage 2: a student that predicts the fused features of a frozen 'mavil-v1' (MAViL §3.3). */
  'mavil-v1-stage2': defineModel({ ...mavilV1, targets: { kind: 'teacher' } }),
  /** AudioMAE: sound alone, mask tokens, normalised targets, 16 decoder blocks. */
  audiomae: defineModel({
    ...audioMae,
    masked: { kind: 'mask-token' },
    loss: { ...uncontrasted, normalizeTargets: true },
  }),
  /** AudioMAE as its code has it: cosine attention in windows, post-norm blocks, shifted along time alone. */
  'audiomae-swin': defineModel({
    ...audioMae,
    decoder: { ...paperDecoder, depth: 16, audioAttention: 'cosine-window', shift: [2, 0] },
    masked: { kind: 'mask-token' },
    loss: { ...uncontrasted, normalizeTargets: true },
  }),
  /** AudioMAE + diffusion (DiffMAViL App. E): AudioMAE with diffused patches; raw targets, as what is diffused. */
  'audiomae-diffusion': defineModel({ ...audioMae, loss: uncontrasted }),
  /** VideoMAE, base: video alone, a narrow self-attention decoder, normalised targets. Choice: random, not tube, masking. */
  videomae: defineModel({
    ...videoOnly,
    decoder: { width: 384, depth: 4, heads: 6, videoAttention: 'self' },
    masked: { kind: 'mask-token' },
    loss: { ...uncontrasted, normalizeTargets: true },
  }),
  /** DiffMAE on video, as in Table 2's video branch: diffused patches, cross decoder on the last encoder block. */
  'videomae-diffusion': defineModel({ ...videoOnly, decoder: paperDecoder, loss: uncontrasted }),
  /** SpatiotemporalMAE: video alone, one predicted frame per tubelet, a self-attention decoder. */
  'spatiotemporal-mae': defineModel({
    ...videoOnly,
    video: paperVideo,
    decoder: { ...paperDecoder, videoAttention: 'self' },
    masked: { kind: 'mask-token' },
    loss: { ...uncontrasted, normalizeTargets: true },
  }),
  /** Audiovisual MAE, mid-fusion: 10 blocks per modality, then 2 over both. */
  avmae: avMae({ encoder: { ...vitBase, depth: 10 } }),
  /** Audiovisual MAE, early fusion: all 12 blocks over both. */
  'avmae-early': avMae({
    encoder: { ...vitBase, depth: 0, finalNorm: false },
    fusion: { depth: 12 },
  }),
  /** Audiovisual MAE, one encoder that serves each modality in a pass of its own. */
  'avmae-shared': avMae({ encoder: { ...vitBase, sharing: 'shared' }, fusion: { kind: 'none' } }),
  /** Audiovisual MAE, an encoder for each modality. */
  'avmae-separate': avMae({ encoder: vitBase, fusion: { kind: 'none' } }),
  /** Audiovisual MAE that paints each modality in from the other. */
  'avmae-inpainting': avMae({
    encoder: { ...vitBase, depth: 10 },
    decoder: {
      width: 384,
      depth: 4,
      heads: 6,
      audioAttention: 'global',
      videoAttention: 'self',
      sharing: 'shared',
      context: 'other-modality',
    },
  }),
  /** CAV-MAE: sound and one picture, 11 blocks each and one shared block with norms per modality, a joint decoder. */
  'cav-mae': defineModel({
    video: { frames: 1, tubelet: 1 },
    encoder: { ...vitBase, depth: 11, finalNorm: false, modalityToken: true },
    fusion: { kind: 'modality-norms', depth: 1 },
    decoder: {
      ...paperDecoder,
      audioAttention: 'global',
      videoAttention: 'self',
      sharing: 'joint',
      modalityToken: true,
    },
    masked: { kind: 'mask-token' },
    loss: {
      interWeight: 0.01,
      interTemperature: 0.05,
      interDirection: 'video-to-audio',
      intraWeight: 0,
      normalizeTargets: true,
    },
  }),
};

/** How a preset is pre-trained as far as masking goes; the rest of a run is the trainer's. */
export interface PresetMasking {
  /** One curriculum, or one for each modality. */
  readonly curriculum: MaskCurricula;
  /** Epochs the curriculum spans. */
  readonly epochs: number;
  /** Whether the batch size grows with the mask ratio [DiffMAViL §3]. */
  readonly adaptiveBatch: boolean;
}

const fixed = (ratio: number, epochs: number): PresetMasking => ({
  curriculum: { kind: 'fixed', ratio },
  epochs,
  adaptiveBatch: false,
});
const linear: PresetMasking = {
  curriculum: { kind: 'linear', start: 0.9, end: 0.8 },
  epochs: 60,
  adaptiveBatch: false,
};
// [AVS §A.4, Tables 13-17]: 400 epochs in the ablations, 800 in the end.
const avMaeMasking: PresetMasking = {
  curriculum: { audio: { kind: 'fixed', ratio: 0.7 }, video: { kind: 'fixed', ratio: 0.9 } },
  epochs: 800,
  adaptiveBatch: false,
};

/** Masking of each preset [DiffMAViL Table 2, Table 4], [MAViL App. B], [AVS], [CAV-MAE]. */
export const presetMasking: Readonly<Record<PresetName, PresetMasking>> = {
  tiny: fixed(0.8, 60),
  small: fixed(0.8, 60),
  base: fixed(0.8, 60),
  'paper-mavil': fixed(0.8, 60),
  'paper-r1': fixed(0.8, 60),
  'paper-r2': fixed(0.8, 60),
  'paper-r3': linear,
  'paper-r4': { ...linear, adaptiveBatch: true },
  'mavil-v1': fixed(0.8, 20),
  'mavil-v1-mbt': fixed(0.8, 20),
  'mavil-v1-stage2': fixed(0.8, 20),
  audiomae: fixed(0.8, 32),
  'audiomae-swin': fixed(0.8, 32),
  'audiomae-diffusion': fixed(0.8, 32),
  videomae: fixed(0.9, 800),
  'videomae-diffusion': fixed(0.9, 800),
  'spatiotemporal-mae': fixed(0.9, 800),
  avmae: avMaeMasking,
  'avmae-early': avMaeMasking,
  'avmae-shared': avMaeMasking,
  'avmae-separate': avMaeMasking,
  'avmae-inpainting': avMaeMasking,
  'cav-mae': fixed(0.75, 25),
};

/** A preset by its name, or the configuration itself, checked. Throws ConfigError. */
export function presetOrConfig(nameOrConfig: string | PartialModelConfig): ModelConfig {
  if (typeof nameOrConfig !== 'string') return defineModel(nameOrConfig);
  if (!Object.hasOwn(presets, nameOrConfig)) {
    throw new ConfigError(
      `preset: expected one of ${Object.keys(presets).join(', ')}, got '${nameOrConfig}'`,
    );
  }
  return presets[nameOrConfig as PresetName];
}
