// SPDX-License-Identifier: Apache-2.0
// The configuration of a run: plain JSON, checked at once, frozen. Its fields are described in config-types.ts; errors use the same names.
// `defineRun` is for pre-training, `defineFinetune` for classifiers; the parts they share stand once.
import { ConfigError } from '@diffmavil/core';
import {
  type ModelConfig,
  type PresetName,
  defineModel,
  presets,
  pretrainFaults,
} from '@diffmavil/model';
import { z } from 'zod';
import { closestName } from './closest-name.ts';
import type { FinetuneConfig, RunConfig, SharedConfig } from './config-types.ts';
import { finetuneMaskingFaults } from './finetune-masking.ts';

export type * from './config-types.ts';

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

const hiddenShare = z.number().min(0).lt(1);

const classifierFusionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('joint'), depth: z.int().min(1).max(128).default(3) }),
  z.strictObject({
    kind: z.literal('bottleneck'),
    fusionLayer: z.int().min(0).nullable().default(null),
    bottlenecks: z.int().min(1).max(1024).default(4),
  }),
  z.strictObject({ kind: z.literal('pretrained') }),
]);

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
  modality: z.enum(['audio', 'video', 'both']).default('audio'),
  fusion: classifierFusionSchema.default({ kind: 'joint', depth: 3 }),
  masking: z
    .strictObject({
      time: hiddenShare.default(0),
      frequency: hiddenShare.default(0),
      video: hiddenShare.default(0),
    })
    .prefault({}),
  task: z.enum(['single-label', 'multi-label']).default('single-label'),
  batch: z.strictObject({ size: z.int().min(1) }).default({ size: 16 }),
  dropPath: fraction.default(0.1),
  labelSmoothing: fraction.default(0),
  loss: z.enum(['softmax', 'sigmoid']).nullable().default(null),
  balancedClasses: z.boolean().default(false),
  mixup: fraction.default(0),
  videoLearningRate: positive.default(1),
});

/**
 * Fills defaults and checks a pre-training configuration, the masking of every epoch included.
 * @param partial Fields to set; `model` is a preset's name or a (partial) model configuration.
 * @throws ConfigError naming every fault at once.
 */
export function defineRun(partial: unknown): RunConfig {
  const masking: unknown = Object(partial).masking;
  const byModality = Object.keys(Object(masking)).some((key) => key === 'audio' || key === 'video');
  const schema = byModality ? runSchemaByModality : runSchema;
  const config = check(schema, partial, 'run config') as RunConfig;
  const faults = [
    ...pretrainFaults(config.model, config.masking, config.epochs),
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
  const config = check(finetuneSchema, partial, 'fine-tune config') as FinetuneConfig;
  const { modality, model } = config;
  const lacking = (['audio', 'video'] as const).find(
    (m) => (modality === m || modality === 'both') && model[m] === null,
  );
  if (lacking !== undefined) {
    throw new ConfigError(
      `fine-tune config: expected a model with ${lacking} for modality '${modality}', got ${lacking}: null`,
    );
  }
  const faults = finetuneMaskingFaults(model, modality, config.masking);
  if (faults.length > 0) throw new ConfigError(`fine-tune config: ${faults.join('; ')}`);
  return config;
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
