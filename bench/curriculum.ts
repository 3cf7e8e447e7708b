// SPDX-License-Identifier: Apache-2.0
// Wall clock of a whole pre-training curriculum, rows R1 to R4 of the paper's Table 2, at a quarter of its widths and tokens: R1 attends to all
// tokens in the video decoder, R2 crosses, R3 also lowers the mask ratio from 0.9 to 0.8, R4 also takes larger batches while the ratio is
// high. Every row sees the same number of clips; rows take turns epoch by epoch, so that drift of the machine meets all of them.
import { fold, keysTensorData, makeKey, normals } from '@diffmavil/core';
import type { Key } from '@diffmavil/core';
import {
  defineModel,
  drawMask,
  initializeParameters,
  modalities,
  patchValues,
  presetMasking,
  presets,
  tokenCount,
  trainingCosts,
} from '@diffmavil/model';
import type { Modality, ModalityInput, ModelConfig } from '@diffmavil/model';
import { adaptiveBatchSize, maskRatio } from '@diffmavil/schedulers';
import type { MaskRatioCurriculum } from '@diffmavil/schedulers';
import { trainStep } from '@diffmavil/trainer';
import type { TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { BenchError } from './bench-error.ts';
import { pretrainLoss } from './pretrain-loss.ts';
import { figure, markdownTable } from './report.ts';
import { median, pairedRatio, quantile } from './rounds.ts';
import { optimizer, trainerOptimizer } from './step-setup.ts';

/** In the order of the table; the first is the base of ratios. */
export const rowNames = ['paper-r1', 'paper-r2', 'paper-r3', 'paper-r4'] as const;
export type RowName = (typeof rowNames)[number];

/** Time and operations of the paper's rows, R1 = 1 [DiffMAViL Table 2; Table 5, whose base is MAViL]. */
const published: Readonly<Record<RowName, { readonly time: number; readonly flops: number }>> = {
  'paper-r1': { time: 1, flops: 1 },
  'paper-r2': { time: 0.96, flops: 0.81 },
  'paper-r3': { time: 0.96, flops: 0.68 },
  'paper-r4': { time: 0.82, flops: 0.68 },
};

export interface CurriculumOptions {
  /** What all rows share; each sets its own attention of the video decoder. */
  readonly model: ModelConfig;
  readonly epochs: number;
  /** Clips every row sees in an epoch. */
  readonly clipsPerEpoch: number;
  /** Clips of a step where the batch is not adapted. */
  readonly batch: number;
  /** Whole curricula of each row. */
  readonly rounds: number;
  readonly log: (line: string) => void;
}

export interface CurriculumResult {
  readonly row: RowName;
  /** Of each round: all steps of the curriculum; masks and batches are made outside. */
  readonly totalsMs: readonly number[];
  readonly medianMs: number;
  /** Over R1, median over rounds. */
  readonly ratio: number;
  readonly steps: number;
  readonly clips: number;
  /** Of the matrix products of all steps, forward and backward, exact accounting; over R1's. */
  readonly flops: number;
  readonly flopsRatio: number;
  /** Mean loss of the last epoch of each round. */
  readonly lastLosses: readonly number[];
  readonly paper: { readonly time: number; readonly flops: number };
}

/** A quarter of the paper's widths, heads, tokens and patch values, a quarter of its depth. */
export const quarterModel: ModelConfig = defineModel({
  audio: { frames: 256, mels: 32, patch: 8 },
  video: { frames: 16, size: 56, tubelet: 2, patch: 8, predictFrames: 8 },
  encoder: { width: 192, depth: 3, heads: 3 },
  fusion: { depth: 1 },
  decoder: { width: 128, depth: 2, heads: 4 },
});

/** Trains every row `rounds` times, on the active backend. */
export async function benchCurriculum(options: CurriculumOptions): Promise<CurriculumResult[]> {
  const rounds: RunningRow[][] = [];
  // R4's steps are twice as large where its mask ratio is highest.
  const pool = makePool(options.model, 2 * options.batch);
  try {
    // One epoch warms up, before anything is timed.
    await runRound({ ...options, epochs: 1 }, pool);
    for (let round = 0; round < options.rounds; round++) {
      const rows = await runRound(options, pool);
      rounds.push(rows);
      const said = rows.map(({ name, ms }) => `${name} ${figure(ms / 1000)} s`);
      options.log(`round ${round + 1}: ${said.join(', ')}`);
    }
  } finally {
    tf.dispose(pool);
  }
  const base = rounds.map((rows) => rows[0]!);
  return rowNames.map((row, i) => {
    const runs = rounds.map((rows) => rows[i]!);
    const totalsMs = runs.map(({ ms }) => ms);
    const { steps, clips, flops } = runs[0]!;
    return {
      row,
      totalsMs,
      medianMs: median(totalsMs),
      ratio: pairedRatio(
        base.map(({ ms }) => ms),
        totalsMs,
      ),
      steps,
      clips,
      flops,
      flopsRatio: flops / base[0]!.flops,
      lastLosses: runs.map(({ losses }) => losses.reduce((sum, x) => sum + x, 0) / losses.length),
      paper: published[row],
    };
  });
}

/** One Markdown row for each row of the paper. */
export function curriculumTable(results: readonly CurriculumResult[]): string {
  const head = ['row', 'steps', 's', 'quartiles', 'time', 'paper', 'FLOPs', 'paper, Table 5'];
  const rows = results.map(({ row, steps, totalsMs, medianMs, ratio, flopsRatio, paper }) => {
    const seconds = (ms: number): string => figure(ms / 1000);
    return [
      row.replace('paper-r', 'R'),
      String(steps),
      seconds(medianMs),
      `${seconds(quantile(totalsMs, 0.25))}..${seconds(quantile(totalsMs, 0.75))}`,
      ratio.toFixed(2),
      paper.time.toFixed(2),
      flopsRatio.toFixed(2),
      paper.flops.toFixed(2),
    ];
  });
  return markdownTable(head, rows);
}

/** Patches of as many clips as the largest step takes, by modality; every step takes the first of them. */
type ClipPool = Readonly<Partial<Record<Modality, tf.Tensor3D>>>;

function makePool(config: ModelConfig, clips: number): ClipPool {
  const made = modalities(config).map((m) => {
    const shape: [number, number, number] = [clips, tokenCount(config, m), patchValues(config, m)];
    const values = normals(fold(makeKey(3), m), shape[0] * shape[1] * shape[2]);
    return [m, tf.tensor3d(values, shape)] as const;
  });
  return Object.fromEntries(made);
}

/** A row in training. */
interface RunningRow {
  readonly name: RowName;
  readonly config: ModelConfig;
  readonly curriculum: MaskRatioCurriculum;
  readonly adaptiveBatch: boolean;
  state: TrainState;
  steps: number;
  clips: number;
  flops: number;
  ms: number;
  /** Of the epoch that is running. */
  losses: number[];
}

async function runRound(options: CurriculumOptions, pool: ClipPool): Promise<RunningRow[]> {
  const rows = rowNames.map((name) => startRow(name, options.model));
  try {
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      for (const row of rows) await runEpoch(row, epoch, options, pool);
    }
    return rows;
  } finally {
    tf.dispose(rows.map(({ state }) => state) as unknown as tf.TensorContainer);
  }
}

function startRow(name: RowName, model: ModelConfig): RunningRow {
  const { curriculum, adaptiveBatch } = presetMasking[name];
  if (!('kind' in curriculum)) {
    throw new BenchError(`${name}: expected one curriculum for both modalities, got two`);
  }
  const { videoAttention } = presets[name].decoder;
  const config = defineModel({ ...model, decoder: { ...model.decoder, videoAttention } });
  const parameters = initializeParameters(config, makeKey(1));
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(parameters).map(([each, { shape }]) => [each, tf.zeros(shape)]),
    );
  const state = { parameters, firstMoments: zeros(), secondMoments: zeros() };
  const counts = { steps: 0, clips: 0, flops: 0, ms: 0, losses: [] };
  return { name, config, curriculum, adaptiveBatch, state, ...counts };
}

/** Steps until the row has seen the clips of this epoch; the last batch of the run is cut to them. */
async function runEpoch(
  row: RunningRow,
  epoch: number,
  options: CurriculumOptions,
  pool: ClipPool,
): Promise<void> {
  const { epochs, clipsPerEpoch, batch: baseBatch } = options;
  const ratio = maskRatio(row.curriculum, epoch, epochs);
  const size = row.adaptiveBatch
    ? adaptiveBatchSize(baseBatch, row.curriculum, epoch, epochs)
    : baseBatch;
  row.losses = [];
  while (row.clips < (epoch + 1) * clipsPerEpoch) {
    const batch = Math.min(size, epochs * clipsPerEpoch - row.clips);
    await runStep(row, ratio, batch, pool);
  }
}

async function runStep(
  row: RunningRow,
  ratio: number,
  batch: number,
  pool: ClipPool,
): Promise<void> {
  const key = fold(makeKey(2), row.clips);
  const inputs = Object.fromEntries(
    modalities(row.config).map((m) => {
      const patches = tf.slice(pool[m]!, [0, 0, 0], [batch, -1, -1]);
      return [m, { patches, ...drawInput(row.config, m, ratio, batch, fold(key, m)) }];
    }),
  );
  const loss = pretrainLoss(row.config, ratio);
  const { learningRate } = optimizer;
  const how = { step: row.steps, learningRate, optimizer: trainerOptimizer, clips: [] };
  const start = performance.now();
  const done = await trainStep(row.state, (parameters) => loss(parameters, inputs), how);
  row.ms += performance.now() - start;
  row.state = done.state;
  row.steps++;
  row.clips += batch;
  const { forward, backward } = trainingCosts(row.config, ratio, {
    batch,
    accounting: 'exact',
  }).flops;
  row.flops += forward + backward;
  row.losses.push(done.figures.loss);
  tf.dispose(inputs as unknown as tf.TensorContainer);
}

/** Masks, timesteps and noise of one step. */
export function drawInput(
  config: ModelConfig,
  modality: Modality,
  ratio: number,
  batch: number,
  key: Key,
): Omit<ModalityInput, 'patches'> {
  const clips = Array.from({ length: batch }, (_, clip) => fold(key, clip));
  const orders = clips.flatMap((clip) => [...drawMask(config, modality, ratio, clip)]);
  return {
    order: tf.tensor2d(orders, [batch, tokenCount(config, modality)], 'int32'),
    timesteps: tf.tensor1d(
      clips.map((_, clip) => 1 + ((100 * (clip + 1)) % 1000)),
      'int32',
    ),
    noise: { keys: tf.tensor2d(keysTensorData(clips), [batch, 4], 'int32') },
  };
}
