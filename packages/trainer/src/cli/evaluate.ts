// SPDX-License-Identifier: Apache-2.0
// `diffmavil evaluate`: the figures of a classifier.
import { dataClips } from '../data/dataset.ts';
import { type ClassifierMetrics, evaluateClassifier } from '../evaluate.ts';
import { modelFolderOf } from '../run-folder.ts';
import { numberOption, parseArguments, required } from './arguments.ts';
import { useBackend } from './backend.ts';
import type { Command } from './command.ts';
import {
  evaluationData,
  evaluationKinds,
  evaluationUsage,
  backendOf,
} from './evaluation-options.ts';

export const command: Command = {
  name: 'evaluate',
  summary: "a classifier's accuracy, mAP, mAUC, d' and per-class figures",
  usage: `diffmavil evaluate --model RUN|FOLDER --data DIR|MANIFEST [--splits test] [--clips N] [--json]

  --model     a fine-tuning run, or its model folder
  --clips     windows of video a clip, 1..100, spread evenly over it, whose predictions are averaged; default 1, at the start
  --json      every figure as one JSON object
${evaluationUsage}`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      ...evaluationKinds,
      model: 'string',
      clips: 'string',
    });
    const folder = modelFolderOf(required(options.model, 'model'));
    const data = evaluationData(options, context);
    const windows = numberOption(options.clips, 'clips', 1, { min: 1, max: 100, integer: true });
    await useBackend(backendOf(options));
    const clips = dataClips(data);
    const metrics = await evaluateClassifier(folder, { ...data, clips, windows });
    context.stdout(options.json ? JSON.stringify(metrics) : table(metrics));
    return 0;
  },
};

function table(metrics: ClassifierMetrics): string {
  const percent = (value: number | null): string =>
    value === null ? '-' : `${(100 * value).toFixed(1)} %`;
  const figures: [string, string][] = [
    ['clips', String(metrics.clips)],
    ...(metrics.top1 === null
      ? []
      : ([
          ['top-1', percent(metrics.top1)],
          ['top-5', percent(metrics.top5)],
        ] as [string, string][])),
    ['mAP', metrics.meanAveragePrecision.toFixed(4)],
    ['mAUC', metrics.meanAuc.toFixed(4)],
    ["d'", metrics.dPrime.toFixed(3)],
    ...(metrics.skippedClasses === 0
      ? []
      : ([['classes left out', `${metrics.skippedClasses} (no positive, or nothing else)`]] as [
          string,
          string,
        ][])),
  ];
  const classes = metrics.labels.map((label, i): [string, string] => [
    `  ${label}`,
    `AP ${metrics.averagePrecision[i]?.toFixed(3) ?? '-'}${metrics.perClass === null ? '' : `  right ${percent(metrics.perClass[label] ?? null)}`}`,
  ]);
  const bad = Object.entries(metrics.badClips).map(([id, reason]): [string, string] => [
    `  ${id}`,
    reason,
  ]);
  const rows = [
    ...figures,
    ['classes', String(metrics.labels.length)] as [string, string],
    ...classes,
  ];
  if (bad.length > 0) rows.push(['unreadable clips, left out', String(bad.length)], ...bad);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}
