// SPDX-License-Identifier: Apache-2.0
// `diffmavil pretrain`.
import { defineRun } from '../config.ts';
import { pretrain } from '../pretrain.ts';
import { modelFolder } from '../run-folder.ts';
import { choiceOption, parseArguments, required } from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import type { Command } from './command.ts';
import { applySettings, readConfig, runPresets } from './config-file.ts';
import { abortOnSignals, progressOutput } from './output.ts';
import { summarize } from './summary.ts';

export const command: Command = {
  name: 'pretrain',
  summary: 'pre-train on a folder of clips',
  usage: `diffmavil pretrain --config FILE|PRESET --data DIR|MANIFEST --out RUN [--resume] [--set key=value …] [--backend NAME]

  --config    a run configuration (JSON), or a preset: ${Object.keys(runPresets()).join(', ')}
  --data      a folder of clips, searched recursively, or a .csv or .jsonl manifest
  --out       the run folder; holds config.json, log.jsonl, checkpoints/, model/ and TensorBoard events
  --resume    go on from the newest checkpoint, exactly
  --set       change one value, repeatable: --set epochs=20 --set optimizer.learningRate=1e-3 --set data.workers=2
  --backend   ${backendNames.join(', ')}; default auto

Ctrl-C finishes the step and writes a checkpoint. Then: diffmavil report RUN`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      config: 'string',
      data: 'string',
      out: 'string',
      resume: 'boolean',
      set: 'strings',
      backend: 'string',
    });
    const source = required(options.config, 'config');
    const data = required(options.data, 'data');
    const run = required(options.out, 'out');
    const backend = choiceOption(options.backend, 'backend', backendNames, 'auto');
    const config = defineRun(applySettings(readConfig(source, runPresets()), options.set));
    context.stderr(`backend ${await useBackend(backend)}`);
    const output = progressOutput(context);
    const result = await pretrain({
      config,
      data,
      run,
      resume: options.resume,
      output,
      signal: abortOnSignals(context),
    });
    context.stdout(summarize(run, result));
    if (result.finished)
      context.stdout(`Model: ${modelFolder(run)}. Next: diffmavil report ${run}`);
    return 0;
  },
};
