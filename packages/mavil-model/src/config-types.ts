// SPDX-License-Identifier: Apache-2.0
// The model configuration: plain JSON, one doc line per field. [DiffMAViL §3, App. C], [MAViL §3], [AudioMAE],
// [Audiovisual MAE], [CAV-MAE], design defaults. config.ts fills and checks it.

/** Spectrogram input, or null for a model without audio. Tokens: (time, frequency) grid, time-major. */
export interface AudioConfig {
  /** Log-mel rows (10 ms each), a whole number 1..16384, a multiple of patch unless patches overlap. Default 1024. */
  readonly frames: number;
  /** Log-mel columns, a whole number 1..1024, a multiple of patch unless patches overlap. Default 128. */
  readonly mels: number;
  /** Side of the square patch in rows and columns, a whole number 1..256. Default 16. */
  readonly patch: number;
  /** Rows and columns from one patch to the next, a whole number 1..patch; below patch (AST) a model only embeds and classifies. Default: patch. */
  readonly stride: number;
}

/** Video input, or null for a model without video. Tokens: (frames/tubelet) x (size/patch) x (size/patch). */
export interface VideoConfig {
  /** Frames per clip, a whole number 1..1024, a multiple of tubelet. Default 16. */
  readonly frames: number;
  /** Side of the square frame in pixels, a whole number 1..2048, a multiple of patch. Default 224. */
  readonly size: number;
  /** Frames per token, a whole number 1..64. Default 2. */
  readonly tubelet: number;
  /** Side of the square patch in pixels, a whole number 1..256. Default 16. */
  readonly patch: number;
  /** Frames the decoder predicts: frames, or frames/tubelet (one frame per tubelet). Default: frames. */
  readonly predictFrames: number;
}

/** The encoders (one per modality, same size). [DiffMAViL App. C] */
export interface EncoderConfig {
  /** Token width, a whole number 4..8192, a multiple of heads and of 4. Default 768. */
  readonly width: number;
  /** Blocks, a whole number 0..128; 0 leaves all mixing to the fusion (Audiovisual MAE, early fusion). Default 12. */
  readonly depth: number;
  /** Attention heads, a whole number 1..256. Default 12. */
  readonly heads: number;
  /** Hidden width of every MLP (encoders, fusion, decoders) over its token width, 0.25..16. Default 4. */
  readonly mlpRatio: number;
  /** Whether a learned class token is put before the visible tokens. Default false. */
  readonly classToken: boolean;
  /** Whether a second class token follows the first, as in DeiT and AST; needs classToken. Default false. */
  readonly distillationToken: boolean;
  /** Whether a LayerNorm follows the last block. Default true. */
  readonly finalNorm: boolean;
  /** 'separate': blocks of its own for each modality; 'shared': one stack, one pass per modality [Audiovisual MAE]. Default 'separate'. */
  readonly sharing: 'separate' | 'shared';
  /** Positions of the patches: fixed sines and cosines, or a learned table that starts from them. Default 'sincos'. */
  readonly positions: 'sincos' | 'learned';
  /** Whether a learned token of the modality is added to its patch tokens [CAV-MAE]. Default false. */
  readonly modalityToken: boolean;
  /** Epsilon of every LayerNorm of the model, a number above 0 and at most 0.1. Default 1e-6. */
  readonly normEpsilon: number;
}

/** Mixing of the visible tokens of both modalities after the encoders. [MAViL §3.1] */
export interface FusionConfig {
  /**
   * 'joint': blocks over the concatenation; 'bottleneck': blocks per modality that meet in a few tokens [MBT];
   * 'modality-norms': joint blocks with LayerNorms of their own for uni-modal passes [CAV-MAE]; 'none'. Default 'joint'.
   */
  readonly kind: 'joint' | 'bottleneck' | 'modality-norms' | 'none';
  /** Blocks, a whole number 1..128. Default 2. */
  readonly depth: number;
  /** Tokens of a bottleneck fusion, a whole number 1..1024. Default 4. */
  readonly bottlenecks: number;
  /** Whether a LayerNorm follows the last block. Default true. */
  readonly finalNorm: boolean;
}

/** The decoders (one per modality, same size). [DiffMAViL §3, App. C] */
export interface DecoderConfig {
  /** Token width, a whole number 4..8192, a multiple of heads and of 4. Default 512. */
  readonly width: number;
  /** Blocks, a whole number 1..128. Default 8. */
  readonly depth: number;
  /** Attention heads, a whole number 1..256. Default 16. */
  readonly heads: number;
  /**
   * 'window': shifted windows on the time-frequency grid; 'cosine-window': the same with the cosine attention and post-norm
   * blocks of AudioMAE; 'global': all tokens. Default 'window'.
   */
  readonly audioAttention: 'window' | 'cosine-window' | 'global';
  /** Window rows (time) and columns (frequency) in tokens, whole numbers 1..64 that divide the audio grid. Default [4, 4]. */
  readonly window: readonly [number, number];
  /** Shift of every second block in tokens, whole numbers 0..63 below the window. Default [2, 2]. */
  readonly shift: readonly [number, number];
  /** 'cross': masked tokens read the visible ones only; 'self': all tokens read all. Default 'cross'. */
  readonly videoAttention: 'cross' | 'self';
  /** 'separate': blocks of its own for each modality; 'shared': one stack, one pass per modality; 'joint': one pass over both. Default 'separate'. */
  readonly sharing: 'separate' | 'shared' | 'joint';
  /** Visible tokens a decoder reads: its own modality's, or the other's (modality inpainting [Audiovisual MAE]). Default 'fused'. */
  readonly context: 'fused' | 'other-modality';
  /** Positions of the tokens: fixed sines and cosines, or a learned table that starts from them. Default 'sincos'. */
  readonly positions: 'sincos' | 'learned';
  /** Whether a learned token of the modality is added to all its tokens [CAV-MAE]. Default false. */
  readonly modalityToken: boolean;
  /**
   * A class token among those that self-attention mixes: 'encoder': the encoder's, embedded like the visible tokens [MAE];
   * 'learned': one of the decoder's own [SpatiotemporalMAE]. Default 'none'.
   */
  readonly classToken: 'none' | 'encoder' | 'learned';
}

/** What a classifier makes of the tokens before its head's LayerNorm. */
export interface ClassifierConfig {
  /** 'tokens': the mean of the patches' tokens; 'class-tokens': the class token, or the mean of the two [AST]. Default 'tokens'. */
  readonly pooling: 'tokens' | 'class-tokens';
  /** Whether the encoder's final LayerNorm is applied before pooling [AST]; AudioMAE leaves it to the head's own. Default false. */
  readonly finalNorm: boolean;
  /** Of both modalities, fused: their means 'side-by-side', a head of twice the width [MAViL §B], or the 'mean' over all [CAV-MAE]. Default 'side-by-side'. */
  readonly joint: 'side-by-side' | 'mean';
}

/** How many tokens are visible, and which. */
export interface MaskingConfig {
  /** Of tokens (1 - ratio): 'floor' as every public code, 'nearest' as the papers say. Default 'floor'. */
  readonly rounding: 'floor' | 'nearest';
  /** The second view: 'disjoint' from the first [MAViL §3.2], or 'independent' of it. Default 'disjoint'. */
  readonly secondView: 'disjoint' | 'independent';
  /** What is hidden of the spectrogram: single tokens, whole rows (time), whole columns (frequency), or both [AudioMAE]. Default 'random'. */
  readonly audio: 'random' | 'time' | 'frequency' | 'time-frequency';
}

/** What the decoders predict: the masked patches, or a frozen teacher's features of them [MAViL §3.3]. */
export type TargetsConfig =
  | { readonly kind: 'patches' }
  | {
      readonly kind: 'teacher';
      /** Width of the teacher's tokens, a whole number 1..8192. Default 768. */
      readonly width: number;
      /** Its tokens after the fusion, or after its encoders (MAViL Table 4). Default 'fusion'. */
      readonly features: 'fusion' | 'encoder';
      /** Whether each target token is brought to mean 0 and variance 1. Default false. */
      readonly normalize: boolean;
    };

/** What stands at the masked positions of a decoder: diffused patches, or one learned token. [DiffMAViL App. B.2] */
export type MaskedConfig =
  | {
      readonly kind: 'diffused';
      /** Diffusion steps T, a whole number 1..100000. Default 1000. */
      readonly timesteps: number;
      /** beta_1, a number in (0, 1). Default 1e-4. */
      readonly betaStart: number;
      /** beta_T, a number in (0, 1), at least betaStart. Default 0.02. */
      readonly betaEnd: number;
      /** phi of b_t = beta_t^phi, a number in (0, 10]. Default 0.8. */
      readonly exponent: number;
    }
  | { readonly kind: 'mask-token' };

/** Weights of the loss terms. [MAViL §4.2] */
export interface LossConfig {
  /** Weight of the audio reconstruction, 0..1000. Default 1. */
  readonly audioWeight: number;
  /** Weight of the video reconstruction, 0..1000. Default 1. */
  readonly videoWeight: number;
  /** Weight of the audio-to-video contrast, 0..1000; counts only when both modalities are present. Default 0.1. */
  readonly interWeight: number;
  /** Temperature of the audio-to-video contrast, 0.0001..1000. Default 0.1. */
  readonly interTemperature: number;
  /** Which side asks: audio for its video [MAViL], video for its audio [CAV-MAE], or the mean of both. Default 'audio-to-video'. */
  readonly interDirection: 'audio-to-video' | 'video-to-audio' | 'both';
  /** Weight of the contrast between two views, 0..1000; 0 spares the second encoder pass. Default 0.01. */
  readonly intraWeight: number;
  /** Temperature of the contrast between two views, 0.0001..1000. Default 1. */
  readonly intraTemperature: number;
  /** Whether each target patch is shifted to mean 0 and scaled to unbiased variance 1. Default false. */
  readonly normalizeTargets: boolean;
}

export interface ModelConfig {
  readonly audio: AudioConfig | null;
  readonly video: VideoConfig | null;
  readonly encoder: EncoderConfig;
  readonly fusion: FusionConfig;
  readonly decoder: DecoderConfig;
  readonly classifier: ClassifierConfig;
  readonly masking: MaskingConfig;
  readonly masked: MaskedConfig;
  readonly targets: TargetsConfig;
  readonly loss: LossConfig;
}

export type Modality = 'audio' | 'video';

/** Any part of a configuration; what is left out takes its default. */
export interface PartialModelConfig {
  readonly audio?: Partial<AudioConfig> | null;
  readonly video?: Partial<VideoConfig> | null;
  readonly encoder?: Partial<EncoderConfig>;
  readonly fusion?: Partial<FusionConfig>;
  readonly decoder?: Partial<DecoderConfig>;
  readonly classifier?: Partial<ClassifierConfig>;
  readonly masked?:
    | Partial<Extract<MaskedConfig, { kind: 'diffused' }>>
    | Extract<MaskedConfig, { kind: 'mask-token' }>;
  readonly masking?: Partial<MaskingConfig>;
  readonly targets?:
    | Partial<Extract<TargetsConfig, { kind: 'patches' }>>
    | ({ readonly kind: 'teacher' } & Partial<Extract<TargetsConfig, { kind: 'teacher' }>>);
  readonly loss?: Partial<LossConfig>;
}
