// SPDX-License-Identifier: Apache-2.0
// `diffmavil flops`: multiply-accumulates by module, and their ratios to MAViL [DiffMAViL Table 5].
import {
  type MacCounts,
  type MaskCurricula,
  type ModelConfig,
  type PresetName,
  countMacsOverCurriculum,
  defineModel,
  macRatios,
  presetMasking,
  presets,
} from '@diffmavil/model';
import { defineRun } from '../config.ts';
import { parseArguments, required } from './arguments.ts';
import type { Command } from './command.ts';
import { readConfig } from './config-file.ts';

interface Subject {
  readonly model: ModelConfig;
  readonly curriculum: MaskCurricula;
  readonly epochs: number;
}

const modules: readonly (keyof MacCounts)[] = [
  'audioEncoder',
  'audioDecoder',
  'videoEncoder',
  'videoDecoder',
  'fusion',
  'total',
];

export const command: Command = {
  name: 'flops',
  summary: 'multiply-accumulates per module, and ratios to MAViL',
  usage: `diffmavil flops --config FILE|PRESET [--json]

  --config    a preset (${Object.keys(presets).join(', ')}), a model configuration or a run configuration
  --json      {macs, ratios, exact: {macs, ratios}}, each with ${modules.join(', ')}

Per clip and forward pass, mean over the epochs of the mask-ratio curriculum; a training step costs about three times as much, and a MAC is two FLOPs.
The canonical accounting is the one that reproduces the paper's Table 5; 'exact' counts what this code runs. Ratios are to paper-mavil.`,
  async run(args, context) {
    const { options } = parseArguments(args, { config: 'string', json: 'boolean' });
    const subject = subjectOf(required(options.config, 'config'));
    const base = { model: presets['paper-mavil'], ...maskingOf('paper-mavil') };
    const count = (accounting: 'canonical' | 'exact'): { macs: MacCounts; ratios: MacCounts } => {
      const [macs, reference] = [subject, base].map((s) =>
        countMacsOverCurriculum(s.model, s.curriculum, s.epochs, { accounting }),
      ) as [MacCounts, MacCounts];
      return { macs, ratios: macRatios(macs, reference) };
    };
    const canonical = count('canonical');
    const exact = count('exact');
    if (options.json) {
      context.stdout(JSON.stringify({ ...canonical, exact }));
      return 0;
    }
    context.stdout(row(['', 'MACs', 'of MAViL', 'exact', 'of MAViL']));
    for (const name of modules) {
      const cells = [canonical, exact].flatMap(({ macs, ratios }) => [
        giga(macs[name]),
        ratios[name].toFixed(2),
      ]);
      context.stdout(row([name, ...cells]));
    }
    return 0;
  },
};

function subjectOf(source: string): Subject {
  if (Object.hasOwn(presets, source))
    return { model: presets[source as PresetName], ...maskingOf(source as PresetName) };
  const config = readConfig(
    source,
    Object.fromEntries(Object.keys(presets).map((name) => [name, {}])),
  );
  if ('model' in config) {
    const run = defineRun(config);
    return { model: run.model, curriculum: run.masking, epochs: run.epochs };
  }
  return {
    model: defineModel(config),
    curriculum: { kind: 'fixed', ratio: 0.8 },
    epochs: 1,
  };
}

function maskingOf(name: PresetName): Omit<Subject, 'model'> {
  const { curriculum, epochs } = presetMasking[name];
  return { curriculum, epochs };
}

const giga = (macs: number): string => `${(macs / 1e9).toFixed(3)} G`;

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(12))).join('');
}
