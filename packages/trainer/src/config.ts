// SPDX-License-Identifier: Apache-2.0
// The configuration of a run: plain JSON, checked at once, frozen. Every field's line gives unit, range and default; errors use the same
// names. `defineRun` is for pre-training, `defineFinetune` for classifiers; the parts they share stand once.
import { ConfigError } from '@diffmavil/core';
import {
  type MaskCurricula,
  type ModelConfig,
  type PresetName,
  defineModel,
  presets,
} from '@diffmavil/model';
import { z } from 'zod';
import { closestName } from './closest-name.ts';

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
  /** Mean and standard deviation of the raw log-mel; null: measured on the training clips. Default null. */
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

interface SharedConfig {
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

/** Configuration of a fine-tuning run: a classifier on one modality. */
export interface FinetuneConfig extends SharedConfig {
  readonly modality: 'audio' | 'video';
  /** `single-label`: softmax cross-entropy; `multi-label`: sigmoid cross-entropy per class. */
  readonly task: 'single-label' | 'multi-label';
  readonly batch: { readonly size: number };
  /** Stochastic depth of the last block, 0..1, linear from 0 over the depth. Default 0.1. */
  readonly dropPath: number;
  /** Label smoothing, 0..1. Default 0. */
  readonly labelSmoothing: number;
}

const fraction = z.number().min(0).max(1);
const positive = z.number().positive();

const dataSchema = z.strictObject({
  labelColumn: z.string().nullable().default(null),
  splitColumn: z.string().default('split'),
  trainSplits: z.array(z.string()).nullable().default(null),
  maxClipSeconds: positive.default(10),
  videoSeconds: positive.default(4),
  sharedWindow: z.boolean().default(false),
  audioStatistics: z.strictObject({ mean: z.number(), std: positive }).nullable().default(null),
  workers: z.int().min(1).max(64).default(1),
  cacheFolder: z.string().nullable().default(null),
  maxBadShare: fraction.default(0.1),
});

const augmentationSchema = (defaults: { crop: [number, number] | null; flip: boolean }) =>
  z.strictObject({
    roll: z.boolean().default(false),
    gain: z.boolean().default(false),
    noise: z.boolean().default(false),
    specAugment: z
      .strictObject({ time: z.int().min(0), frequency: z.int().min(0) })
      .nullable()
      .default(null),
    cropScale: z.tuple([fraction, fraction]).nullable().default(defaults.crop),
    flip: z.boolean().default(defaults.flip),
  });

const optimizerSchema = (defaults: {
  learningRate: number;
  warmupEpochs: number;
  weightDecay: number;
  layerDecay: number;
}) =>
  z.strictObject({
    learningRate: positive.default(defaults.learningRate),
    minLearningRate: z.number().min(0).default(1e-6),
    warmupEpochs: z.number().min(0).default(defaults.warmupEpochs),
    weightDecay: z.number().min(0).default(defaults.weightDecay),
    beta1: fraction.default(0.9),
    beta2: fraction.default(0.95),
    epsilon: positive.default(1e-8),
    clipNorm: positive.nullable().default(null),
    layerDecay: fraction.default(defaults.layerDecay),
  });

const maskingSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fixed'), ratio: fraction }),
  z.strictObject({ kind: z.literal('linear'), start: fraction, end: fraction }),
  z.strictObject({ kind: z.literal('cosine'), start: fraction, end: fraction }),
  z.strictObject({ kind: z.literal('step'), ratios: z.array(fraction), epochs: z.array(z.int()) }),
]);
const shared = {
  seed: z.int().min(0).max(0xffffffff).default(0),
  model: z.union([z.string(), z.looseObject({})]),
  data: dataSchema.prefault({}),
  epochs: z.int().min(1),
  checkpointSteps: z.int().min(1).default(100),
  checkpointsKept: z.int().min(1).default(2),
  checkpointing: z.boolean().default(false),
  precision: z.enum(['float32', 'bfloat16']).default('float32'),
};

const runSchema = z.strictObject({
  ...shared,
  epochs: shared.epochs.default(60),
  augmentation: augmentationSchema({ crop: [0.5, 1], flip: true }).prefault({}),
  optimizer: optimizerSchema({
    learningRate: 4e-4,
    warmupEpochs: 8,
    weightDecay: 1e-5,
    layerDecay: 1,
  }).prefault({}),
  masking: maskingSchema.default({ kind: 'linear', start: 0.9, end: 0.8 }),
  batch: z
    .strictObject({ size: z.int().min(1), adaptive: z.boolean().default(true) })
    .default({ size: 16, adaptive: true }),
  teacher: z.string().nullable().default(null),
});

/** A curriculum per modality is another form, so that a fault in either names its own keys. */
const runSchemaByModality = runSchema.extend({
  masking: z.strictObject({ audio: maskingSchema, video: maskingSchema }),
});

const finetuneSchema = z.strictObject({
  ...shared,
  epochs: shared.epochs.default(60),
  augmentation: augmentationSchema({ crop: null, flip: false }).prefault({}),
  optimizer: optimizerSchema({
    learningRate: 2.5e-4,
    warmupEpochs: 4,
    weightDecay: 1e-4,
    layerDecay: 0.75,
  }).prefault({}),
  modality: z.enum(['audio', 'video']).default('audio'),
  task: z.enum(['single-label', 'multi-label']).default('single-label'),
  batch: z.strictObject({ size: z.int().min(1) }).default({ size: 16 }),
  dropPath: fraction.default(0.1),
  labelSmoothing: fraction.default(0),
});

/**
 * Fills defaults and checks a pre-training configuration.
 * @param partial Fields to set; `model` is a preset's name or a (partial) model configuration.
 * @throws ConfigError naming every fault at once.
 */
export function defineRun(partial: unknown): RunConfig {
  const masking: unknown = Object(partial).masking;
  const byModality = Object.keys(Object(masking)).some((key) => key === 'audio' || key === 'video');
  const schema = byModality ? runSchemaByModality : runSchema;
  const config = check(schema, partial, 'run config') as RunConfig;
  const faults = [
    ...(config.batch.adaptive && !('kind' in config.masking)
      ? ['batch.adaptive: expected false with a curriculum per modality, got true']
      : []),
    ...(config.model.targets.kind === 'teacher' && config.teacher === null
      ? ["teacher: expected a run or model folder, as model.targets.kind is 'teacher', got null"]
      : []),
    ...(config.model.targets.kind === 'patches' && config.teacher !== null
      ? [`teacher: expected null, as model.targets.kind is 'patches', got '${config.teacher}'`]
      : []),
  ];
  if (faults.length > 0) throw new ConfigError(`run config: ${faults.join('; ')}`);
  return config;
}

/** As `defineRun`, for fine-tuning. */
export function defineFinetune(partial: unknown): FinetuneConfig {
  return check(finetuneSchema, partial, 'fine-tune config') as FinetuneConfig;
}

function check(schema: z.ZodObject, partial: unknown, where: string): SharedConfig {
  const result = schema.safeParse(partial);
  const faults = result.success
    ? []
    : result.error.issues.flatMap((issue) => faultOf(issue, schema));
  if (!result.success) throw new ConfigError(`${where}: ${faults.join('; ')}`);
  const model = result.data['model'] as string | Parameters<typeof defineModel>[0];
  const resolved = {
    ...result.data,
    model: typeof model === 'string' ? presetNamed(model, where) : defineModel(model),
  };
  return deepFreeze(resolved) as unknown as SharedConfig;
}

function presetNamed(name: string, where: string): ModelConfig {
  if (name in presets) return presets[name as PresetName];
  throw new ConfigError(
    `${where}: expected model to be a preset (${Object.keys(presets).join(', ')}) or an object, got '${name}'`,
  );
}

function faultOf(issue: z.core.$ZodIssue, schema: z.ZodObject): string[] {
  const path = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') return [`${path}: ${lowerFirst(issue.message)}`];
  return issue.keys.map((key) => {
    const known = keysAt(schema, issue.path);
    const near = closestName(key, known);
    const full = [...issue.path, key].join('.');
    return `unknown key '${full}'${near === null ? `, expected one of ${known.join(', ')}` : `. Try: '${[...issue.path, near].join('.')}'`}`;
  });
}

function keysAt(schema: z.ZodObject, path: readonly PropertyKey[]): string[] {
  let node: unknown = schema;
  for (const step of path) {
    node = unwrap((unwrap(node) as z.ZodObject | undefined)?.shape?.[String(step)]);
  }
  return Object.keys((unwrap(node) as z.ZodObject | undefined)?.shape ?? {});
}

function unwrap(node: unknown): unknown {
  let inner = node;
  while (
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodNullable
  )
    inner = inner.unwrap();
  return inner;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
