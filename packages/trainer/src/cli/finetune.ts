// SPDX-License-Identifier: Apache-2.0
// `diffmavil finetune`.
import { join } from 'node:path';
import { ConfigError } from '@diffmavil/core';
import { defineFinetune } from '../config.ts';
import { finetune } from '../finetune.ts';
import { finetuneRecipes } from '../recipes.ts';
import { modelFolder, modelFolderOf } from '../run-folder.ts';
import { choiceOption, parseArguments, required } from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import type { Command } from './command.ts';
import { applySettings, readConfig } from './config-file.ts';
import { abortOnSignals, progressOutput } from './output.ts';
import { summarize } from './summary.ts';

export const command: Command = {
  name: 'finetune',
  summary: 'fine-tune a classifier from a pre-trained model, or from scratch',
  usage: `diffmavil finetune --init RUN|FOLDER|scratch --recipe NAME|FILE --data DIR|MANIFEST --out RUN [--resume] [--set key=value …] [--backend NAME]

  --init      a run folder or model folder to start from; 'scratch' starts from random weights with the recipe's model
  --recipe    ${Object.keys(finetuneRecipes).join(', ')}, or a JSON file
  --data      clips with labels: sub-folders are classes, or a manifest (--set data.labelColumn=… names its column)
  --out       the run folder; model/ in it holds the classifier
  --resume    go on from the newest checkpoint, exactly
  --set       change one value, repeatable: --set epochs=20 --set data.trainSplits='["train"]'; --set modality=both reads sound and
              pictures (audio and video each take one), --set fusion.kind=bottleneck turns the encoders' last blocks into their fusion
  --backend   ${backendNames.join(', ')}; default auto

Then: diffmavil evaluate --model RUN --data …`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      init: 'string',
      recipe: 'string',
      data: 'string',
      out: 'string',
      resume: 'boolean',
      set: 'strings',
      backend: 'string',
    });
    const init = required(options.init, 'init');
    const partial = applySettings(
      readConfig(required(options.recipe, 'recipe'), finetuneRecipes),
      options.set,
    );
    const data = required(options.data, 'data');
    const run = required(options.out, 'out');
    const backend = choiceOption(options.backend, 'backend', backendNames, 'auto');
    const folder = init === 'scratch' ? null : modelFolderOf(init);
    if (folder !== null && partial['model'] === undefined) partial['model'] = modelConfigOf(folder);
    if (partial['model'] === undefined)
      throw new ConfigError(
        'finetune: expected a model to start from scratch with, got none. Try: --set model=tiny',
      );
    const config = defineFinetune(partial);
    context.stderr(`backend ${await useBackend(backend)}`);
    const output = progressOutput(context);
    const signal = abortOnSignals(context);
    const result = await finetune({
      config,
      init: folder,
      data,
      run,
      resume: options.resume,
      output,
      signal,
    });
    context.stdout(summarize(run, result));
    if (result.finished)
      context.stdout(
        `Model: ${modelFolder(run)}. Next: diffmavil evaluate --model ${run} --data ${data}`,
      );
    return 0;
  },
};

/** The model configuration of a model folder; the weights are read and checked later. */
function modelConfigOf(folder: string): unknown {
  return readConfig(join(folder, 'config.json'), {});
}
