// SPDX-License-Identifier: Apache-2.0
// Options shared by the commands that run a trained model on a data set.
import type { DatasetColumns } from '../data/dataset.ts';
import type { EvaluationOptions } from '../evaluate.ts';
import {
  type OptionKinds,
  type ParsedArguments,
  choiceOption,
  numberOption,
  required,
} from './arguments.ts';
import { type BackendName, backendNames } from './backend.ts';
import type { CommandContext } from './command.ts';
import { progressOutput } from './output.ts';

export const evaluationKinds = {
  data: 'string',
  splits: 'string',
  'label-column': 'string',
  'split-column': 'string',
  'max-seconds': 'string',
  workers: 'string',
  cache: 'string',
  batch: 'string',
  backend: 'string',
  json: 'boolean',
} as const satisfies OptionKinds;

export const evaluationUsage = `  --data          a folder of clips or a manifest
  --splits        splits to use, separated by commas; default: every clip
  --label-column  manifest column of the class; default label      --split-column  of the split; default split
  --max-seconds   seconds read of a clip at most; default 10
  --workers       decoding threads; default 1                      --cache         folder that keeps decoded clips
  --batch         clips a forward pass; default 8                  --backend       ${backendNames.join(', ')}; default auto`;

type Options = ParsedArguments<typeof evaluationKinds>['options'];

/** Where the clips are, and how to run a model on them. */
export type EvaluationData = Omit<EvaluationOptions, 'clips'> &
  DatasetColumns & { readonly data: string; readonly splits: readonly string[] | null };

export function evaluationData(options: Options, context: CommandContext): EvaluationData {
  const labelColumn = options['label-column'];
  const splitColumn = options['split-column'];
  return {
    data: required(options.data, 'data'),
    splits: options.splits?.split(',') ?? null,
    workers: numberOption(options.workers, 'workers', 1, { min: 1, max: 64, integer: true }),
    cacheFolder: options.cache ?? null,
    maxClipSeconds: numberOption(options['max-seconds'], 'max-seconds', 10, {
      min: 0.1,
      max: 3600,
    }),
    batch: numberOption(options.batch, 'batch', 8, { min: 1, max: 4096, integer: true }),
    output: progressOutput(context),
    ...(labelColumn === undefined ? {} : { labelColumn }),
    ...(splitColumn === undefined ? {} : { splitColumn }),
  };
}

export function backendOf(options: Pick<Options, 'backend'>): BackendName {
  return choiceOption(options.backend, 'backend', backendNames, 'auto');
}
