// SPDX-License-Identifier: Apache-2.0
// What the configuration of a run holds, field by field: unit, range, default. config.ts fills and checks it.
import type { MaskCurricula, ModelConfig } from '@diffmavil/model';

/** Where clips come from and how they are cut. */
export interface DataConfig {
  /** Manifest column holding the class; null: `label`, where there is one. Default null. */
  readonly labelColumn: string | null;
  /** Manifest column holding the split. Default `split`. */
  readonly splitColumn: string;
  /** Splits to train on; null: every clip. Default null. */
  readonly trainSplits: readonly string[] | null;
  /** Seconds read from the start of a clip at most, > 0. Default 10. */
  readonly maxClipSeconds: number;
  /** Seconds of video that one sample covers, > 0. Default 4 [DiffMAViL §C]. */
  readonly videoSeconds: number;
  /** Whether audio is cut to the video's window, so that both see the same moment. Default false: audio uses the whole clip [DiffMAViL §C]. */
  readonly sharedWindow: boolean;
  /** Mean and standard deviation of the raw log-mel; null: the teacher's, or else measured on the training clips. Default null. */
  readonly audioStatistics: { readonly mean: number; readonly std: number } | null;
  /** Decoding threads, 1..64. Default 1. */
  readonly workers: number;
  /** Folder that keeps decoded clips, so that each is decoded once; null: none. Default null. */
  readonly cacheFolder: string | null;
  /** Share of unreadable clips, 0..1, above which a run stops. Default 0.1. */
  readonly maxBadShare: number;
}

/** Random changes of a sample; everything is off by default except crop and flip of pre-training frames. */
export interface AugmentationConfig {
  /** Cyclic roll of the waveform, so that a sample starts anywhere [DiffMAViL §C, 'R']. */
  readonly roll: boolean;
  /** Random level, 0.5..1.5 times. */
  readonly gain: boolean;
  /** Random spectrogram noise [MAViL §B, 'N']. */
  readonly noise: boolean;
  /** SpecAugment mask widths: frames and mel bins, upper bounds; null: none. */
  readonly specAugment: { readonly time: number; readonly frequency: number } | null;
  /** Area range of the random resized crop, 0..1; null: centre crop. */
  readonly cropScale: readonly [number, number] | null;
  /** Mirrors frames with probability 0.5. */
  readonly flip: boolean;
}

/** AdamW and its schedule. */
export interface OptimizerConfig {
  /** Peak learning rate, absolute, > 0. */
  readonly learningRate: number;
  /** Floor of the cosine, >= 0. Default 1e-6. */
  readonly minLearningRate: number;
  /** Epochs of linear warm-up, >= 0; fractions allowed. */
  readonly warmupEpochs: number;
  /** Decoupled weight decay of weights with two or more axes, >= 0. */
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest global gradient norm, > 0; null: no clipping. Default null. */
  readonly clipNorm: number | null;
  /** Layer-wise learning-rate decay, 0..1; 1: none. */
  readonly layerDecay: number;
}

/** What pre-training and fine-tuning share. */
export interface SharedConfig {
  /** Seed of every random draw, an unsigned 32-bit integer. Default 0. */
  readonly seed: number;
  readonly model: ModelConfig;
  readonly data: DataConfig;
  readonly augmentation: AugmentationConfig;
  readonly optimizer: OptimizerConfig;
  /** Passes over the data, 1 or more. */
  readonly epochs: number;
  /** Steps between checkpoints, 1 or more; one is always written at the end. Default 100. */
  readonly checkpointSteps: number;
  /** Checkpoints kept, 1 or more. Default 2. */
  readonly checkpointsKept: number;
  /** Recompute blocks in the backward pass to save memory. Default false. */
  readonly checkpointing: boolean;
  readonly precision: 'float32' | 'bfloat16';
}

/** Configuration of a pre-training run. */
export interface RunConfig extends SharedConfig {
  /** Mask-ratio curriculum over epochs, one or `{audio, video}`. Default linear 0.9 to 0.8 [DiffMAViL §3]. */
  readonly masking: MaskCurricula;
  /** Samples a step at the lowest mask ratio; `adaptive` scales it with the ratio, for one curriculum only [DiffMAViL §3]. */
  readonly batch: { readonly size: number; readonly adaptive: boolean };
  /** Run or model folder of the frozen teacher, where `model.targets.kind` is `teacher` [MAViL §3.3]. Default null. */
  readonly teacher: string | null;
}

/** What joins the encoders of a classifier of both modalities. */
export type ClassifierFusionConfig =
  | {
      readonly kind: 'joint';
      /** New blocks over the tokens of both, drawn from the seed, 1..128. Default 3 [MAViL §B]. */
      readonly depth: number;
    }
  | {
      readonly kind: 'bottleneck';
      /** Encoder blocks that stay; the rest become the fusion's [MBT]. Null: two thirds of them, 8 of 12. Default null. */
      readonly fusionLayer: number | null;
      /** New tokens that the modalities exchange through, 1..1024. Default 4. */
      readonly bottlenecks: number;
    }
  /** The fusion of the pre-trained model, weights included. */
  | { readonly kind: 'pretrained' };

/** Shares hidden from a classifier while it is trained, 0..1 (1 excluded); nothing is hidden when it is evaluated. */
export interface FinetuneMaskingConfig {
  /** Of the spectrogram's time rows, whole ones. Default 0; MAViL 0.2. */
  readonly time: number;
  /** Of its frequency columns, whole ones. Default 0; MAViL 0.2. */
  readonly frequency: number;
  /** Of the video's tokens. Default 0; MAViL 0.2. */
  readonly video: number;
}

/** Configuration of a fine-tuning run: a classifier of one modality, or of both. */
export interface FinetuneConfig extends SharedConfig {
  /** What the classifier reads. Default audio. */
  readonly modality: 'audio' | 'video' | 'both';
  /** Used with modality `both` only. Default 3 new joint blocks. */
  readonly fusion: ClassifierFusionConfig;
  readonly masking: FinetuneMaskingConfig;
  /** `single-label`: softmax cross-entropy; `multi-label`: sigmoid cross-entropy per class. */
  readonly task: 'single-label' | 'multi-label';
  readonly batch: { readonly size: number };
  /** Stochastic depth of the last block, 0..1, linear from 0 over the depth. Default 0.1. */
  readonly dropPath: number;
  /** Label smoothing, 0..1. Default 0. */
  readonly labelSmoothing: number;
  /** Softmax cross-entropy over the classes, or sigmoid cross-entropy for each; null: as `task` has it. Default null. */
  readonly loss: 'softmax' | 'sigmoid' | null;
  /** Whether clips are drawn with replacement, those of rare classes more often [MAViL §B]. Default false. */
  readonly balancedClasses: boolean;
  /** Share of the samples, 0..1, that another clip is mixed into: waveforms, pixels and labels [AudioMAE]. Default 0. */
  readonly mixup: number;
  /** Learning-rate factor of the video encoder's weights, > 0; used with modality `both` only. Default 1; MAViL 0.5. */
  readonly videoLearningRate: number;
}
