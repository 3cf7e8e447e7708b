// SPDX-License-Identifier: Apache-2.0
// `diffmavil convert`: weights of other projects into a model folder.
import type { ConversionSummary } from '@diffmavil/model';
import { convertWeights } from '@diffmavil/model/node';
import { choiceOption, parseArguments, required } from './arguments.ts';
import { type Command, UsageError } from './command.ts';

const modalities = ['audio', 'video'] as const;
const inflations = ['average', 'central'] as const;
/** Names printed of each list; `--json` has them all. */
const namesShown = 6;

export const command: Command = {
  name: 'convert',
  summary: "make a model folder of another project's weights",
  usage: `diffmavil convert --in FILE|FOLDER --out FOLDER [--as audio|video] [--inflate average|central] [--json]

  --in        a safetensors file, or a folder with one: Hugging Face ViT, ViT-MAE, VideoMAE, AST; timm ViT; MAE, AudioMAE,
              SpatiotemporalMAE (mae_st), MAViL, CAV-MAE. What is in it is recognised by its names. config.json and
              preprocessor_config.json beside it give sizes, heads, statistics and class names
  --out       the model folder to write; finetune --init, evaluate, embed and retrieve take it like any other
  --as        an image model as one of spectrograms (colours summed) or of video (patches inflated, 16 frames); of an
              audio-visual model the one encoder. Default: what the file is; an image model takes single pictures
  --inflate   image patches over the frames of a video patch: average spreads them evenly, central puts them into the
              middle frame; default average
  --json      {format, mapped, ignored, initialized}

PyTorch's .pth and .bin files are saved as safetensors first: docs/weights.md has the ten lines, and what each source needs.`,
  async run(args, context) {
    const { options, positionals } = parseArguments(args, {
      in: 'string',
      out: 'string',
      as: 'string',
      inflate: 'string',
      json: 'boolean',
    });
    if (positionals.length > 0)
      throw new UsageError(`expected options only, got ${positionals[0]}`);
    const out = required(options.out, 'out');
    const summary = await convertWeights({
      file: required(options.in, 'in'),
      out,
      ...(options.as !== undefined && { as: choiceOption(options.as, 'as', modalities, 'audio') }),
      inflate: choiceOption(options.inflate, 'inflate', inflations, 'average'),
    });
    if (options.json) context.stdout(JSON.stringify(summary));
    else for (const line of describe(out, summary)) context.stdout(line);
    return 0;
  },
};

function describe(
  out: string,
  { format, mapped, ignored, initialized }: ConversionSummary,
): string[] {
  return [
    `${out}: ${format}, ${mapped} tensors mapped`,
    ...(ignored.length === 0
      ? []
      : [`left out, as the model has no use for them: ${listed(ignored)}`]),
    ...(initialized.length === 0
      ? []
      : [`not in the file, set to 0 or computed: ${listed(initialized)}`]),
  ];
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).join(', ');
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown;
}
