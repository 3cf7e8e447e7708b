// SPDX-License-Identifier: Apache-2.0
// `diffmavil trace`: one training step on given tensors, with all its gradients, to compare with another implementation.
import { readFileSync, writeFileSync } from 'node:fs';
import { CheckpointError, ConfigError } from '@diffmavil/core';
import {
  type SafeTensor,
  presetOrConfig,
  presets,
  readSafetensors,
  writeSafetensors,
} from '@diffmavil/model';
import { type TracedTensor, traceStep } from '../trace.ts';
import { choiceOption, numberOption, parseArguments, required } from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import type { Command } from './command.ts';
import { readConfig } from './config-file.ts';

export const command: Command = {
  name: 'trace',
  summary: 'run one training step on given tensors and write losses and gradients',
  usage: `diffmavil trace --config FILE|PRESET --in TENSORS --out RESULTS [--mask-ratio R] [--precision float32|bfloat16] [--backend NAME]

  --config FILE|PRESET  model configuration (JSON; it may hold maskRatio too), or one of ${Object.keys(presets).join(', ')}
  --in TENSORS          safetensors: the weights, and {audio,video}.{patches,order,timestep,noise}
  --out RESULTS         safetensors to write: loss, loss.{audio,video,inter,intra}, {audio,video}.{embedding,prediction}, grad.<weight>
  --mask-ratio R        above 0 and below 1; default: the configuration's maskRatio, else 0.8
  --precision NAME      arithmetic of matrix products, default float32
  --backend NAME        ${backendNames.join(', ')}; default auto`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      config: 'string',
      in: 'string',
      out: 'string',
      'mask-ratio': 'string',
      precision: 'string',
      backend: 'string',
    });
    const source = required(options.config, 'config');
    const input = required(options.in, 'in');
    const output = required(options.out, 'out');
    const precision = choiceOption(
      options.precision,
      'precision',
      ['float32', 'bfloat16'],
      'float32',
    );
    const backendName = choiceOption(options.backend, 'backend', backendNames, 'auto');
    const asked = numberOption(options['mask-ratio'], 'mask-ratio', Number.NaN, { min: 0, max: 1 });
    const { maskRatio: stored = 0.8, ...partial } = readConfig(source, { ...presets } as never);
    const maskRatio = Number.isNaN(asked) ? stored : asked;
    if (typeof maskRatio !== 'number' || !(maskRatio > 0 && maskRatio < 1)) {
      throw new ConfigError(
        `trace: expected a mask ratio above 0 and below 1, got ${JSON.stringify(maskRatio)}`,
      );
    }
    const config = presetOrConfig(partial);
    const tensors = readTensors(input);
    const backend = await useBackend(backendName);
    const results = await traceStep({ config, tensors, maskRatio, precision });
    writeFileSync(
      output,
      writeSafetensors(results, { backend, precision, maskRatio: String(maskRatio) }),
    );
    for (const [name, { data }] of losses(results)) context.stdout(`${name.padEnd(10)} ${data[0]}`);
    context.stdout(
      `${output}: ${Object.keys(results).length} tensors, computed on ${backend} in ${precision}`,
    );
    return 0;
  },
};

function readTensors(file: string): Record<string, SafeTensor> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new CheckpointError(
      `trace: expected a safetensors file, got ${(error as Error).message}`,
    );
  }
  return readSafetensors(bytes, file);
}

function losses(results: Readonly<Record<string, TracedTensor>>): [string, TracedTensor][] {
  return Object.entries(results).filter(([name]) => name === 'loss' || name.startsWith('loss.'));
}
