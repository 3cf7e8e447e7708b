// SPDX-License-Identifier: Apache-2.0
// @diffmavil/trainer: data sets, the training loop, checkpoints, metrics, reports. The command line is a thin layer over these.
export {
  type ClipEntry,
  type Dataset,
  type DatasetColumns,
  clipsOfSplits,
  dataClips,
  readDataset,
} from './data/dataset.ts';
export {
  type AugmentationConfig,
  type ClassifierFusionConfig,
  type DataConfig,
  type FinetuneConfig,
  type FinetuneMaskingConfig,
  type OptimizerConfig,
  type RunConfig,
  defineFinetune,
  defineRun,
} from './config.ts';
export {
  type ClassifierMetrics,
  type ClipEmbedding,
  type EvaluationOptions,
  audioToVideoRetrieval,
  embedClips,
  evaluateClassifier,
} from './evaluate.ts';
export type { TrainState } from './checkpoint.ts';
export { type BackendName, useBackend } from './cli/backend.ts';
export { type FinetuneOptions, finetune } from './finetune.ts';
export { type LogRecord, readRecords } from './json-lines.ts';
export {
  type RetrievalMetrics,
  type Scores,
  type TaggingMetrics,
  retrievalMetrics,
  taggingMetrics,
  topKAccuracy,
} from './metrics.ts';
export { type PretrainOptions, pretrain } from './pretrain.ts';
export type { ProgressOutput } from './progress.ts';
export {
  type ClipReconstruction,
  type ReconstructClipOptions,
  reconstructClip,
} from './reconstruct.ts';
export type { BandFigures, MaskedError, ModalityBands } from './reconstruction-errors.ts';
export { finetuneRecipes } from './recipes.ts';
export {
  type LossOutputs,
  NonFiniteError,
  type StartedStep,
  type StepFigures,
  type StepGradients,
  type StepOptions,
  decays,
  readStep,
  startStep,
  stepGradients,
  trainStep,
} from './step.ts';
export {
  type GraphChoice,
  type PreparedBatch,
  type StepGraphs,
  type StepStarter,
  stepGraphs,
  stepStarter,
} from './step-graphs.ts';
export { type TraceRequest, type TracedTensor, traceStep } from './trace.ts';
export { writeReport } from './report.ts';
export type { TrainResult } from './train.ts';
