// SPDX-License-Identifier: Apache-2.0
// `diffmavil reconstruct`: a picture of what a pre-trained model fills in.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileAtomically } from '../atomic-folder.ts';
import { type MaskedError, reconstructClip } from '../reconstruct.ts';
import { modelFolderOf } from '../run-folder.ts';
import { choiceOption, numberOption, parseArguments, required } from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import { type Command, UsageError } from './command.ts';

export const command: Command = {
  name: 'reconstruct',
  summary: 'draw what a pre-trained model makes of a masked clip (PNG)',
  usage: `diffmavil reconstruct --model RUN|FOLDER FILE --out PNG [--mask-ratio R] [--timestep T] [--sample-steps N] [--seed N] [--backend NAME] [--json]

  --model         a pre-training run, or its model folder
  FILE            the clip
  --out           the picture: rows original, masked, predicted; frames above, the spectrogram below
  --mask-ratio    share of patches to hide, above 0 and below 1; default 0.8
  --timestep      noise level of the hidden patches, 1 (almost clean) to the model's last, usually 1000 (noise alone); default: half of it
  --sample-steps  adds a row sampled from noise alone in N steps, 2 or more
  --seed          another seed, other patches hidden; default 0
  --backend       ${backendNames.join(', ')}; default auto
  --json          the figures as one JSON object: {out, audio, video: {mse, flatMse, sampledMse}, maskRatio, timestep, seed}

The model predicts hidden patches in one step, as it is trained; visible ones are kept. Errors are mean squares over hidden patches in the
units of the training loss, beside those of a flat guess. A picture written to RUN/pictures/ becomes part of 'diffmavil report RUN'.`,
  async run(args, context) {
    const { options, positionals } = parseArguments(args, {
      model: 'string',
      out: 'string',
      'mask-ratio': 'string',
      timestep: 'string',
      'sample-steps': 'string',
      seed: 'string',
      backend: 'string',
      json: 'boolean',
    });
    const model = required(options.model, 'model');
    const out = required(options.out, 'out');
    const [clip, ...others] = positionals;
    if (clip === undefined || others.length > 0) {
      throw new UsageError(`expected one clip, got ${positionals.length}`);
    }
    const whole = (name: 'timestep' | 'sample-steps', min: number): number | null =>
      options[name] === undefined
        ? null
        : numberOption(options[name], name, min, { min, max: 100_000, integer: true });
    const timestep = whole('timestep', 1);
    const sampleSteps = whole('sample-steps', 2);
    const maskRatio = numberOption(options['mask-ratio'], 'mask-ratio', 0.8, { min: 0, max: 1 });
    const seed = numberOption(options.seed, 'seed', 0, { min: 0, max: 0xffffffff, integer: true });
    const backend = choiceOption(options.backend, 'backend', backendNames, 'auto');
    const modelFolder = modelFolderOf(model);
    await useBackend(backend);
    const { picture, figures } = await reconstructClip({
      modelFolder,
      clip,
      maskRatio,
      seed,
      sampleSteps,
      ...(timestep === null ? {} : { timestep }),
    });
    mkdirSync(dirname(out), { recursive: true });
    writeFileAtomically(out, picture);
    if (options.json) {
      context.stdout(JSON.stringify({ out, ...figures }));
      return 0;
    }
    context.stdout(`${out}: ${Math.round(figures.maskRatio * 1000) / 10} % hidden, seed ${seed}`);
    for (const [name, error] of [
      ['video', figures.video],
      ['sound', figures.audio],
    ] as const) {
      if (error !== null) context.stdout(`  ${name}  ${errorLine(error)}`);
    }
    context.stdout(`Open ${out} to see it.`);
    return 0;
  },
};

function errorLine({ mse, flatMse, sampledMse }: MaskedError): string {
  const sampled = sampledMse === null ? '' : `, sampled ${sampledMse.toFixed(4)}`;
  return `error on hidden patches ${mse.toFixed(4)}${sampled} (a flat guess: ${flatMse.toFixed(4)})`;
}
