// SPDX-License-Identifier: Apache-2.0
// `diffmavil flops`: multiply-accumulates by module, and their ratios to MAViL [DiffMAViL Table 5].
import {
  type MacCounts,
  type MaskCurricula,
  type ModelConfig,
  type PresetName,
  type TrainingCosts,
  countMacsOverCurriculum,
  defineModel,
  macRatios,
  presetMasking,
  presets,
  trainingCostsOverCurriculum,
} from '@diffmavil/model';
import { defineRun } from '../config.ts';
import { numberOption, parseArguments, required } from './arguments.ts';
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
  summary: 'multiply-accumulates per module, ratios to MAViL, cost of a training step',
  usage: `diffmavil flops --config FILE|PRESET [--batch N] [--json]

  --config    a preset (${Object.keys(presets).join(', ')}), a model configuration or a run configuration
  --batch     clips of a training step, default 1
  --json      {macs, ratios, training, exact: {macs, ratios, training}}; macs and ratios each with ${modules.join(', ')};
              training: {batch, flops: {forward, backward, recomputed, total}, bytes: {parameters, gradients, optimizer, activations, total}}

Multiply-accumulates (two FLOPs each) are per clip and forward pass, mean over the epochs of the mask-ratio curriculum; ratios are to paper-mavil.
A training step is for the whole batch: mean of the FLOPs, most of the memory, all in float32.
The canonical accounting is the one that reproduces the paper's Table 5; 'exact' counts what this code runs and keeps.`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      config: 'string',
      batch: 'string',
      json: 'boolean',
    });
    const subject = subjectOf(required(options.config, 'config'));
    const limits = { min: 1, max: 1_000_000, integer: true };
    const batch = numberOption(options.batch, 'batch', 1, limits);
    const canonical = countAll(subject, 'canonical', batch);
    const exact = countAll(subject, 'exact', batch);
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
    context.stdout('');
    context.stdout(row([`step, batch ${batch}`, 'canonical', 'exact']));
    for (const line of trainingLines(canonical.training, exact.training)) context.stdout(line);
    return 0;
  },
};

interface Costs {
  readonly macs: MacCounts;
  readonly ratios: MacCounts;
  readonly training: TrainingCosts;
}

function countAll(subject: Subject, accounting: 'canonical' | 'exact', batch: number): Costs {
  const base = { model: presets['paper-mavil'], ...maskingOf('paper-mavil') };
  const [macs, reference] = [subject, base].map((s) =>
    countMacsOverCurriculum(s.model, s.curriculum, s.epochs, { accounting }),
  ) as [MacCounts, MacCounts];
  const { model, curriculum, epochs } = subject;
  const training = trainingCostsOverCurriculum(model, curriculum, epochs, { accounting, batch });
  return { macs, ratios: macRatios(macs, reference), training };
}

function trainingLines(canonical: TrainingCosts, exact: TrainingCosts): string[] {
  const operations = (['forward', 'backward', 'recomputed', 'total'] as const).map((part) =>
    row([part, `${giga(canonical.flops[part])}FLOP`, `${giga(exact.flops[part])}FLOP`]),
  );
  const parts = ['parameters', 'gradients', 'optimizer', 'activations', 'total'] as const;
  const memory = parts.map((part) =>
    row([part, mebibytes(canonical.bytes[part]), mebibytes(exact.bytes[part])]),
  );
  return [...operations, ...memory];
}

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
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(16))).join('');
}
