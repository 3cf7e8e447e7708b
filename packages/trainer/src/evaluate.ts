// SPDX-License-Identifier: Apache-2.0
// What a trained model is worth on a data set: tagging and classification figures of a classifier, embeddings and audio-to-video
// retrieval of a pre-trained model.
import { ConfigError, disposeTree } from '@diffmavil/core';
import {
  type ClassifierInput,
  type Modality,
  audioVideoClassifierForward,
  classifierForward,
  embedPatches,
  headName,
  modalities,
} from '@diffmavil/model';
import { type ModelFolder, loadModelFolder } from '@diffmavil/model/node';
import * as tf from '@tensorflow/tfjs-core';
import type { ClipEntry } from './data/dataset.ts';
import { ClipLoader, type LoadedSample } from './data/loader.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { preprocessorOf } from './finetune.ts';
import {
  type RetrievalMetrics,
  type Scores,
  type TaggingMetrics,
  retrievalMetrics,
  taggingMetrics,
  topKAccuracy,
} from './metrics.ts';
import { type ProgressOutput, startProgress } from './progress.ts';

/** Clips to run a model on, and how. */
export interface EvaluationOptions {
  readonly clips: readonly ClipEntry[];
  readonly workers: number;
  readonly cacheFolder: string | null;
  readonly maxClipSeconds: number;
  /** Clips a forward pass. */
  readonly batch: number;
  /** Windows of video a clip, spread evenly over it, whose predictions are averaged [MAViL §B]. Default 1, at the start. */
  readonly windows?: number;
  readonly output: ProgressOutput;
}

export interface ClassifierMetrics extends TaggingMetrics {
  readonly clips: number;
  readonly labels: readonly string[];
  /** Share of clips whose class scores highest; null for multi-label data. */
  readonly top1: number | null;
  readonly top5: number | null;
  /** Share of each class's clips that are classified right, by label; null for multi-label data. */
  readonly perClass: Readonly<Record<string, number>> | null;
  /** Unreadable clips, left out: id -> reason. */
  readonly badClips: Readonly<Record<string, string>>;
}

/** Figures of the classifier in a model folder. Throws ConfigError when the model has no labels or the data has others. */
export async function evaluateClassifier(
  folder: string,
  options: EvaluationOptions,
): Promise<ClassifierMetrics> {
  const model = await loadModelFolder(folder);
  try {
    const { labels, task } = model.preprocessor;
    if (labels === null) {
      throw new ConfigError(
        `${folder}: expected a classifier, got a model without labels. Try: diffmavil finetune --init ${folder}`,
      );
    }
    const input = classifierInput(model);
    const rows: { scores: Float32Array; targets: readonly string[] }[] = [];
    const badClips = await forEachBatch(model, input, options, (samples) => {
      const windows = input === 'audio' ? 1 : (options.windows ?? 1);
      const scores = tf.tidy(() => batchScores(model, input, samples, windows).dataSync());
      samples.forEach((sample, i) =>
        rows.push({
          scores: scores.slice(i * labels.length, (i + 1) * labels.length) as Float32Array,
          targets: knownLabels(sample.clip, labels, folder),
        }),
      );
    });
    return { ...classifierMetrics(rows, labels, task === 'single-label'), badClips };
  } finally {
    disposeTree(model.parameters);
  }
}

/** `[batch, classes]`: logits of the first window, or probabilities averaged over all, which are between 0 and 1. */
function batchScores(
  { config, parameters, preprocessor }: ModelFolder,
  input: ClassifierInput,
  samples: readonly LoadedSample[],
  windows: number,
): tf.Tensor2D {
  const logits = (window: number): tf.Tensor2D => {
    const patches = (m: Modality): tf.Tensor3D =>
      patchTensor(config, m, samples, m === 'video' ? window : 0);
    if (input !== 'both') return classifierForward(config, parameters, input, patches(input));
    const both = { audio: patches('audio'), video: patches('video') };
    return audioVideoClassifierForward(config, parameters, both);
  };
  if (windows === 1) return logits(0);
  const probabilities = Array.from({ length: windows }, (_, window) =>
    preprocessor.task === 'multi-label'
      ? tf.sigmoid(logits(window))
      : tf.softmax<tf.Tensor2D>(logits(window)),
  );
  return tf.div(tf.addN(probabilities), windows);
}

function classifierMetrics(
  rows: readonly { scores: Float32Array; targets: readonly string[] }[],
  labels: readonly string[],
  singleLabel: boolean,
): Omit<ClassifierMetrics, 'badClips'> {
  const classes = labels.length;
  const values = new Float32Array(rows.length * classes);
  const multiHot = new Uint8Array(rows.length * classes);
  rows.forEach(({ scores: own, targets }, i) => {
    values.set(own, i * classes);
    for (const target of targets) multiHot[i * classes + labels.indexOf(target)] = 1;
  });
  const scores: Scores = { values, clips: rows.length, classes };
  const own = Int32Array.from(rows, ({ targets }) => labels.indexOf(targets[0]!));
  const accuracyOf = (label: number): number => {
    const indices = [...own.keys()].filter((i) => own[i] === label);
    const kept = new Float32Array(
      indices.flatMap((i) => [...values.subarray(i * classes, (i + 1) * classes)]),
    );
    return topKAccuracy(
      { values: kept, clips: indices.length, classes },
      new Int32Array(indices.length).fill(label),
      1,
    );
  };
  return {
    ...taggingMetrics(scores, multiHot),
    clips: rows.length,
    labels,
    top1: singleLabel ? topKAccuracy(scores, own, 1) : null,
    top5: singleLabel ? topKAccuracy(scores, own, 5) : null,
    perClass: singleLabel
      ? Object.fromEntries(labels.map((label, i) => [label, accuracyOf(i)]))
      : null,
  };
}

/** Mean-pooled encoder outputs of one clip, `[width]` each; null for a modality the model lacks. */
export interface ClipEmbedding {
  readonly clip: ClipEntry;
  readonly audio: Float32Array | null;
  readonly video: Float32Array | null;
}

/** Embeds every clip: all tokens, no masking [MAViL §4, retrieval]. */
export async function embedClips(
  folder: string,
  options: EvaluationOptions,
): Promise<{ embeddings: ClipEmbedding[]; badClips: Record<string, string> }> {
  const model = await loadModelFolder(folder);
  try {
    const embeddings: ClipEmbedding[] = [];
    const present = encodersOf(model);
    const input = present.length === 2 ? 'both' : present[0]!;
    const badClips = await forEachBatch(model, input, options, (samples) => {
      const byModality = Object.fromEntries(
        present.map((modality) => [modality, embedBatch(model, modality, samples)]),
      );
      samples.forEach((sample, i) =>
        embeddings.push({
          clip: sample.clip,
          audio: byModality['audio']?.[i] ?? null,
          video: byModality['video']?.[i] ?? null,
        }),
      );
    });
    return { embeddings, badClips };
  } finally {
    disposeTree(model.parameters);
  }
}

/** Audio-to-video retrieval among the embeddings; both modalities must be there. */
export function audioToVideoRetrieval(embeddings: readonly ClipEmbedding[]): RetrievalMetrics {
  const of = (modality: Modality): Float32Array[] =>
    embeddings.map((embedding) => {
      const vector = embedding[modality];
      if (vector === null)
        throw new ConfigError(
          `retrieve: expected a model of audio and video, got one without ${modality}`,
        );
      return vector;
    });
  return retrievalMetrics(of('audio'), of('video'));
}

function embedBatch(
  { config, parameters }: ModelFolder,
  modality: Modality,
  samples: readonly LoadedSample[],
): Float32Array[] {
  const pooled = tf.tidy(() =>
    embedPatches(config, parameters, modality, patchTensor(config, modality, samples)),
  );
  const values = pooled.dataSync() as Float32Array;
  pooled.dispose();
  const width = values.length / samples.length;
  return samples.map((_, i) => values.slice(i * width, (i + 1) * width));
}

async function forEachBatch(
  model: ModelFolder,
  input: ClassifierInput,
  options: EvaluationOptions,
  run: (samples: LoadedSample[]) => void,
): Promise<Record<string, string>> {
  const loader = clipLoader(model, input, options);
  const progress = startProgress(options.output, 'clips', options.clips.length);
  try {
    let batch: LoadedSample[] = [];
    let done = 0;
    for await (const sample of loader.each()) {
      batch.push(sample);
      if (batch.length < options.batch) continue;
      run(batch);
      done += batch.length;
      batch = [];
      progress.update(done);
    }
    if (batch.length > 0) run(batch);
    progress.update(options.clips.length);
    progress.end();
    return loader.badClips;
  } finally {
    await loader.close();
  }
}

/** Clips as they are, none of them refused. */
function clipLoader(
  model: ModelFolder,
  input: ClassifierInput,
  { clips, workers, cacheFolder, maxClipSeconds, windows = 1 }: EvaluationOptions,
): ClipLoader {
  return new ClipLoader({
    clips,
    spec: {
      model: model.config,
      preprocessor: preprocessorOf(model.preprocessor, input),
      augmentation: null,
      sharedWindow: false,
      maxClipSeconds,
      windows,
    },
    seed: 0,
    workers,
    cacheFolder,
    maxBadShare: 1,
    badClips: {},
    onBadClip: () => {},
  });
}

/** What the classifier of a model folder reads: what it has a head for, both before one. */
function classifierInput({ config, parameters }: ModelFolder): ClassifierInput {
  const inputs: ClassifierInput[] = ['both', ...modalities(config)];
  return inputs.find((input) => `${headName(input)}.linear.weight` in parameters)!;
}

/** The modalities a model folder has an encoder for: a classifier of one carries no other. */
function encodersOf({ config, parameters }: ModelFolder): Modality[] {
  return modalities(config).filter((m) => `${m}_encoder.patch_embed.weight` in parameters);
}

function knownLabels(
  clip: ClipEntry,
  labels: readonly string[],
  folder: string,
): readonly string[] {
  const unknown = clip.labels.find((label) => !labels.includes(label));
  if (unknown !== undefined || clip.labels.length === 0) {
    throw new ConfigError(
      `${folder}: expected clips labelled ${labels.join(', ')}, got ${unknown ?? 'no label'} for ${clip.id}`,
    );
  }
  return clip.labels;
}
