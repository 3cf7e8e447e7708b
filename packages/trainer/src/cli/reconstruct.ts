// SPDX-License-Identifier: Apache-2.0
// `diffmavil reconstruct`: a picture of what a pre-trained model fills in.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileAtomically } from '../atomic-folder.ts';
import {
  type ClipReconstruction,
  type ReconstructClipOptions,
  reconstructClip,
} from '../reconstruct.ts';
import type { BandFigures, MaskedError } from '../reconstruction-errors.ts';
import { modelFolderOf } from '../run-folder.ts';
import {
  type ParsedArguments,
  choiceOption,
  numberOption,
  parseArguments,
  required,
} from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import { type Command, UsageError } from './command.ts';

const optionKinds = {
  model: 'string',
  out: 'string',
  'mask-ratio': 'string',
  timestep: 'string',
  'sample-steps': 'string',
  sampler: 'string',
  eta: 'string',
  path: 'string',
  seed: 'string',
  backend: 'string',
  json: 'boolean',
} as const;

export const command: Command = {
  name: 'reconstruct',
  summary: 'draw what a pre-trained model makes of a masked clip (PNG)',
  usage: `diffmavil reconstruct --model RUN|FOLDER FILE --out PNG [--mask-ratio R] [--timestep T] [--sample-steps N [--sampler ddpm|ddim] [--eta E] [--path N]] [--seed N] [--backend NAME] [--json]

  --model         a pre-training run, or its model folder
  FILE            the clip
  --out           the picture: rows original, masked, predicted; frames above, the spectrogram below, errors by frequency under each
  --mask-ratio    share of patches to hide, above 0 and below 1; default 0.8
  --timestep      noise level of the hidden patches, 1 (almost clean) to the model's last, usually 1000 (noise alone); default: half of it
  --sample-steps  adds a row sampled from noise alone in N steps, 2 or more
  --sampler       ddpm (default) or ddim
  --eta           ddim's share of fresh noise, 0 (default) to 1
  --path          adds N rows with states of the sampling, noise first
  --seed          another seed, other patches hidden; default 0
  --backend       ${backendNames.join(', ')}; default auto
  --json          the figures as one JSON object: {out, audio, video: {mse, flatMse, sampledMse, bands}, maskRatio, timestep, seed}

The model predicts hidden patches in one step, as it is trained; visible ones are kept. Errors are mean squares over hidden patches in the
units of the training loss, beside those of a flat guess. By frequency, errors and power are of the patches' own units, so models of the same
input can be compared: the same clip, mask ratio and seed hide the same patches. A picture written to RUN/pictures/ becomes part of 'diffmavil report RUN'.`,
  async run(args, context) {
    const { options, positionals } = parseArguments(args, optionKinds);
    const model = required(options.model, 'model');
    const out = required(options.out, 'out');
    const [clip, ...others] = positionals;
    if (clip === undefined || others.length > 0) {
      throw new UsageError(`expected one clip, got ${positionals.length}`);
    }
    const settings = settingsOf(options);
    const backend = choiceOption(options.backend, 'backend', backendNames, 'auto');
    const modelFolder = modelFolderOf(model);
    await useBackend(backend);
    const { picture, figures } = await reconstructClip({ modelFolder, clip, ...settings });
    mkdirSync(dirname(out), { recursive: true });
    writeFileAtomically(out, picture);
    context.stdout(
      options.json ? JSON.stringify({ out, ...figures }) : figuresText(out, figures).join('\n'),
    );
    return 0;
  },
};

/** How to hide and predict, as the options have it; ranges that depend on the model are checked later. */
function settingsOf(
  options: ParsedArguments<typeof optionKinds>['options'],
): Omit<ReconstructClipOptions, 'modelFolder' | 'clip'> {
  const whole = (name: 'timestep' | 'sample-steps', min: number): number | null =>
    options[name] === undefined
      ? null
      : numberOption(options[name], name, min, { min, max: 100_000, integer: true });
  const timestep = whole('timestep', 1);
  const sampleSteps = whole('sample-steps', 2);
  const kind = choiceOption(options.sampler, 'sampler', ['ddpm', 'ddim'] as const, 'ddpm');
  const eta = numberOption(options.eta, 'eta', 0, { min: 0, max: 1 });
  if (sampleSteps === null && (options.sampler ?? options.eta ?? options.path) !== undefined) {
    throw new UsageError('expected --sample-steps with --sampler, --eta or --path, got none');
  }
  if (kind === 'ddpm' && options.eta !== undefined) {
    throw new UsageError('expected --sampler ddim with --eta, got ddpm');
  }
  return {
    maskRatio: numberOption(options['mask-ratio'], 'mask-ratio', 0.8, { min: 0, max: 1 }),
    seed: numberOption(options.seed, 'seed', 0, { min: 0, max: 0xffffffff, integer: true }),
    sampleSteps,
    sampler: kind === 'ddpm' ? { kind } : { kind, eta },
    pathRows: numberOption(options.path, 'path', 0, { min: 0, max: 1000, integer: true }),
    ...(timestep === null ? {} : { timestep }),
  };
}

/** The figures as lines to read. */
function figuresText(
  out: string,
  { maskRatio, seed, video, audio }: ClipReconstruction['figures'],
): string[] {
  const lines = [`${out}: ${Math.round(maskRatio * 1000) / 10} % hidden, seed ${seed}`];
  for (const [name, error] of [
    ['video', video],
    ['sound', audio],
  ] as const) {
    if (error === null) continue;
    lines.push(`  ${name}  ${errorLine(error)}`);
    const { pitch, detail } = error.bands;
    if (pitch !== null) lines.push(bandTable('low to high pitch', pitch));
    lines.push(bandTable('coarse to fine', detail));
  }
  return [...lines, `Open ${out} to see it.`];
}

function errorLine({ mse, flatMse, sampledMse }: MaskedError): string {
  const sampled = sampledMse === null ? '' : `, sampled ${sampledMse.toFixed(4)}`;
  return `error on hidden patches ${mse.toFixed(4)}${sampled} (a flat guess: ${flatMse.toFixed(4)})`;
}

/** Errors of each band as shares of the flat guess' error. */
function bandTable(name: string, { flat, oneStep, sampled }: BandFigures): string {
  const row = (label: string, values: readonly number[]): string => {
    const shares = values.map((value, band) => (value / flat[band]!).toFixed(2).padStart(7));
    return `    ${label.padEnd(28)}${shares.join('')}`;
  };
  return [
    row(`${name}, one step`, oneStep),
    ...(sampled === null ? [] : [row(`${name}, sampled`, sampled)]),
  ].join('\n');
}
