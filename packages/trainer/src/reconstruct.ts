// SPDX-License-Identifier: Apache-2.0
// What a pre-trained model makes of a clip it sees a small part of: patches are hidden, predicted in one step as in training, drawn, and
// scored. Sampling from pure noise over several steps can be drawn beside it [DiffMAE §3].
import { basename } from 'node:path';
import { CheckpointError, ConfigError, disposeTree, makeKey } from '@diffmavil/core';
import {
  type Modality,
  type PatchReconstruction,
  type Sampler,
  modalities,
  reconstructPatches,
} from '@diffmavil/model';
import { type ModelFolder, loadModelFolder } from '@diffmavil/model/node';
import type * as tf from '@tensorflow/tfjs-core';
import { openClip } from './data/clip-store.ts';
import { patchTensor } from './data/patch-tensor.ts';
import { type SampleSpec, decodeRequest, makeSample } from './data/sample.ts';
import { encodePicture } from './picture.ts';
import { type MaskedError, reconstructionError } from './reconstruction-errors.ts';
import { type PatchRow, patchRows, reconstructionPicture } from './reconstruction-picture.ts';

export interface ReconstructClipOptions {
  /** Folder of a pre-trained model, decoders included. */
  readonly modelFolder: string;
  /** The clip's file; it must have what the model needs: sound, pictures or both. */
  readonly clip: string;
  /** Share of the patches to hide, above 0 and below 1. Default 0.8, where the paper's curriculum ends. */
  readonly maskRatio?: number;
  /** Noise level of the hidden patches, 1..T. Default: half of T. Not used by a model with mask tokens. */
  readonly timestep?: number;
  /** Adds a row sampled from pure noise in this many steps, 2..T; null: none. Default null. */
  readonly sampleSteps?: number | null;
  /** How the sampled row is sampled. Default DDPM. */
  readonly sampler?: Sampler;
  /** States x_t of the sampling to draw above its result, 0..sampleSteps. Default 0. */
  readonly pathRows?: number;
  /** Seed of masks and noise. Default 0. */
  readonly seed?: number;
  /** Seconds read of the clip at most, > 0. Default 10. */
  readonly maxClipSeconds?: number;
}

export interface ClipReconstruction {
  /** PNG bytes. */
  readonly picture: Uint8Array;
  /** Null for a modality the model does not have. */
  readonly figures: {
    readonly audio: MaskedError | null;
    readonly video: MaskedError | null;
    readonly maskRatio: number;
    /** Null for a model with mask tokens. */
    readonly timestep: number | null;
    readonly seed: number;
  };
}

type Settings = Required<Omit<ReconstructClipOptions, 'timestep'>> & { timestep: number | null };

/**
 * Hides patches of a clip, predicts them and draws the result. The clip is cut as in evaluation: from its start, centre crop. Where the
 * model was trained on normalised targets, a predicted patch gets back the mean and deviation of the true one, as in MAE's pictures.
 * @throws CheckpointError for a model without decoders, ConfigError for options out of range, MediaError for a clip that cannot be read.
 */
export async function reconstructClip(
  options: ReconstructClipOptions,
): Promise<ClipReconstruction> {
  const model = await loadModelFolder(options.modelFolder);
  try {
    const settings = settingsOf(options, model);
    const patches = await clipPatches(model, settings);
    try {
      return draw(model, settings, patches);
    } finally {
      disposeTree(patches);
    }
  } finally {
    disposeTree(model.parameters);
  }
}

function settingsOf(options: ReconstructClipOptions, model: ModelFolder): Settings {
  const { masked } = model.config;
  const last = masked.kind === 'diffused' ? masked.timesteps : null;
  const settings: Settings = {
    maskRatio: 0.8,
    sampleSteps: null,
    sampler: { kind: 'ddpm' },
    pathRows: 0,
    seed: 0,
    maxClipSeconds: 10,
    ...options,
    timestep: last === null ? null : (options.timestep ?? Math.max(1, Math.round(last / 2))),
  };
  if (!Object.keys(model.parameters).some((name) => name.includes('_decoder.'))) {
    throw new CheckpointError(
      `${options.modelFolder}: expected a pre-trained model with decoders, got a classifier. Try: the model folder of a pre-training run`,
    );
  }
  checkRanges(settings, last);
  return settings;
}

/** @param last The model's last timestep; null with mask tokens. */
function checkRanges(
  { maskRatio, timestep, sampleSteps, pathRows }: Settings,
  last: number | null,
): void {
  if (!(maskRatio > 0 && maskRatio < 1)) {
    throw new ConfigError(`maskRatio: expected a number above 0 and below 1, got ${maskRatio}`);
  }
  if (last === null && sampleSteps !== null) {
    throw new ConfigError(
      `sampleSteps: expected none for a model with mask tokens, got ${sampleSteps}`,
    );
  }
  for (const [name, value, least] of [
    ['timestep', timestep, 1],
    ['sampleSteps', sampleSteps, 2],
  ] as const) {
    if (value === null || (Number.isInteger(value) && value >= least && value <= last!)) continue;
    throw new ConfigError(`${name}: expected a whole number ${least}..${last}, got ${value}`);
  }
  if (!Number.isInteger(pathRows) || pathRows < 0 || pathRows > (sampleSteps ?? 0)) {
    const most = sampleSteps === null ? '0 without sampleSteps' : `0..${sampleSteps}`;
    throw new ConfigError(`pathRows: expected ${most}, got ${pathRows}`);
  }
}

async function clipPatches(
  { config, preprocessor }: ModelFolder,
  { clip, maxClipSeconds }: Settings,
): Promise<Partial<Record<Modality, tf.Tensor3D>>> {
  const spec: SampleSpec = {
    model: config,
    preprocessor,
    augmentation: null,
    sharedWindow: false,
    maxClipSeconds,
  };
  const decoded = await openClip(clip, decodeRequest(spec), null);
  const sample = makeSample(decoded, spec, makeKey(0));
  return Object.fromEntries(
    modalities(config).map((modality) => [modality, patchTensor(config, modality, [sample])]),
  );
}

function draw(
  { config, parameters, preprocessor }: ModelFolder,
  settings: Settings,
  patches: Partial<Record<Modality, tf.Tensor3D>>,
): ClipReconstruction {
  const { maskRatio, timestep, sampleSteps, sampler, pathRows, seed } = settings;
  const shared = { maskRatio, seed };
  const oneStep = reconstructPatches(config, parameters, patches, {
    ...shared,
    ...(timestep === null ? {} : { timestep }),
  });
  const sampled =
    sampleSteps === null
      ? null
      : reconstructPatches(config, parameters, patches, {
          ...shared,
          steps: sampleSteps,
          sampler,
          keptSteps: pathRows,
        });
  const each = modalities(config).map((modality) => {
    const made = oneStep[modality]!;
    const sample = sampled?.[modality] ?? null;
    const error = reconstructionError(config, preprocessor, modality, made, sample);
    return { modality, error, rows: rowsOf(made, sample, error, settings) };
  });
  const of = (modality: Modality): MaskedError | null =>
    each.find((entry) => entry.modality === modality)?.error ?? null;
  const figures = { audio: of('audio'), video: of('video'), maskRatio, timestep, seed };
  const picture = reconstructionPicture(
    config,
    preprocessor,
    Object.fromEntries(each.map(({ modality, rows }) => [modality, rows])),
    Object.fromEntries(each.map(({ modality, error }) => [modality, error.bands])),
  );
  return { picture: encodePicture(picture, describe(settings, figures)), figures };
}

function rowsOf(
  made: PatchReconstruction,
  sample: PatchReconstruction | null,
  error: MaskedError,
  { maskRatio, timestep, sampleSteps, sampler }: Settings,
): PatchRow[] {
  const from = timestep === null ? [] : [`from step ${timestep}`];
  const flat = `flat guess ${error.flatMse.toFixed(3)}`;
  return patchRows(
    made,
    ['masked', `${percent(maskRatio)} hidden`],
    [
      {
        label: ['predicted', ...from, `error ${error.mse.toFixed(3)}`, flat],
        patches: made.prediction,
      },
      ...(sample === null
        ? []
        : [
            ...sample.path.map(({ timestep: t, patches }) => ({
              label: ['sampling', `at step ${t}`],
              patches,
            })),
            {
              label: [
                `sampled (${sampler.kind})`,
                `${sampleSteps} steps`,
                `error ${error.sampledMse!.toFixed(3)}`,
              ],
              patches: sample.prediction,
            },
          ]),
    ],
  );
}

function describe({ clip }: Settings, figures: ClipReconstruction['figures']): string {
  const { maskRatio, timestep, seed, audio, video } = figures;
  const errors = [
    ...(video === null ? [] : [`video ${video.mse.toFixed(3)}`]),
    ...(audio === null ? [] : [`sound ${audio.mse.toFixed(3)}`]),
  ];
  const from = timestep === null ? '' : `, predicted from step ${timestep}`;
  return `${basename(clip)}: ${percent(maskRatio)} hidden${from}, seed ${seed}; error on hidden patches: ${errors.join(', ')}`;
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}
