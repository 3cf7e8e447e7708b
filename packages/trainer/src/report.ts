// SPDX-License-Identifier: Apache-2.0
// `report.html` of a run, or of a folder of runs: one file that opens without a network. Whatever of a run is there is shown; a run in
// progress, interrupted, or without a single step has a report too.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { ConfigError } from '@diffmavil/core';
import { decode } from 'fast-png';
import { writeFileAtomically } from './atomic-folder.ts';
import { type LogRecord, readRecords } from './json-lines.ts';
import { comparisonChart, runCharts, summarizeRun } from './report-figures.ts';
import {
  type PlotLibrary,
  type ReportPicture,
  type RunView,
  type SummaryTable,
  reportPage,
} from './report-page.ts';
import { type RunRecord, logFile } from './run-folder.ts';

/**
 * Writes `report.html` into a run folder, or into a folder of run folders, of which each gets a section.
 * @returns The path of the file.
 * @throws ConfigError when the folder is not there or holds no run, or a JSON file in it cannot be read.
 */
export function writeReport(folder: string): string {
  const runs = findRuns(folder);
  const views = runs.map((run) => readView(run, folder));
  const summary = readSummary(join(folder, 'summary.json'));
  const title = summary?.title ?? basename(resolve(folder));
  const page = reportPage(
    {
      title,
      summary,
      comparisons: runs.length === 1 ? [] : comparisons(views),
      runs: views.map(({ view }) => view),
    },
    plotLibrary(),
  );
  const file = join(folder, 'report.html');
  writeFileAtomically(file, page);
  return file;
}

const isRun = (folder: string): boolean =>
  ['config.json', 'log.jsonl'].some((name) => existsSync(join(folder, name)));

/** Runs of the stages in their order, then others by name. */
const stages = ['pretrain', 'finetune', 'scratch'];

function findRuns(folder: string): string[] {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new ConfigError(`${folder}: expected a run folder, got no folder of that name`);
  }
  if (isRun(folder)) return [folder];
  const rank = (name: string): number => {
    const at = stages.indexOf(name);
    return at === -1 ? stages.length : at;
  };
  const runs = readdirSync(folder)
    .filter((name) => isRun(join(folder, name)))
    .sort((a, b) => rank(a) - rank(b) || byName.compare(a, b))
    .map((name) => join(folder, name));
  if (runs.length > 0) return runs;
  throw new ConfigError(
    `${folder}: expected a run (config.json, log.jsonl) or a folder of runs, got neither. Try: the --out folder of pretrain or finetune`,
  );
}

const byName = new Intl.Collator('en', { numeric: true });

interface RunData {
  readonly view: RunView;
  readonly records: readonly LogRecord[];
}

function readView(run: string, folder: string): RunData {
  const records = readRecords(logFile(run));
  const record = readJson(join(run, 'config.json')) as RunRecord | null;
  const evaluation = readJson(join(run, 'evaluation.json'));
  const logged = records.findLast(({ event }) => event === 'evaluation');
  const { pictures, notes } = readPictures(join(run, 'pictures'));
  const view: RunView = {
    name: run === folder ? basename(resolve(run)) : basename(run),
    kind: record?.kind ?? null,
    summary: summarizeRun(records, record?.config ?? null),
    charts: runCharts(records),
    pictures,
    pictureNotes: notes,
    evaluations: [
      ...(evaluation === null ? [] : [{ source: 'evaluation.json', figures: evaluation }]),
      ...(logged === undefined ? [] : [{ source: `after step ${logged.step}`, figures: logged }]),
    ],
    config: record,
  };
  return { view, records };
}

/** Losses of runs of one kind over one axis, where there are two or more. */
function comparisons(runs: readonly RunData[]): RunView['charts'] {
  return [
    ['pretrain', 'Pre-training loss'] as const,
    ['finetune', 'Fine-tuning loss'] as const,
  ].flatMap(([kind, title]) =>
    comparisonChart(
      title,
      runs
        .filter(({ view }) => view.kind === kind)
        .map(({ view, records }) => ({ name: view.name, records })),
    ),
  );
}

/** Pictures embedded at most, the last by name. */
const mostPictures = 24;

function readPictures(folder: string): { pictures: ReportPicture[]; notes: string[] } {
  if (!existsSync(folder)) return { pictures: [], notes: [] };
  const all = readdirSync(folder)
    .filter((name) => name.endsWith('.png'))
    .sort(byName.compare);
  const names = all.slice(-mostPictures);
  const notes =
    all.length > names.length
      ? [`${all.length - names.length} earlier pictures are in pictures/`]
      : [];
  const pictures = names.flatMap((name): ReportPicture[] => {
    const bytes = readFileSync(join(folder, name));
    try {
      const { text } = decode(bytes);
      return [{ name, bytes, description: text['Description'] ?? null }];
    } catch (error) {
      notes.push(`${name} is left out: expected a PNG, got ${(error as Error).message}`);
      return [];
    }
  });
  return { pictures, notes };
}

function readSummary(file: string): SummaryTable | null {
  const value: Partial<SummaryTable> | null = readJson(file);
  if (value === null) return null;
  const { title, columns, rows, notes = [] } = value;
  const fits =
    typeof title === 'string' &&
    Array.isArray(columns) &&
    Array.isArray(rows) &&
    rows.every((row) => Array.isArray(row)) &&
    Array.isArray(notes);
  if (!fits) {
    throw new ConfigError(
      `${file}: expected {title, columns, rows, notes}, got ${Object.keys(value).join(', ')}`,
    );
  }
  return { title, columns, rows, notes };
}

/** The content of a JSON file, null when there is none. */
function readJson(file: string): object | null {
  if (!existsSync(file)) return null;
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value;
    throw new Error(JSON.stringify(value));
  } catch (error) {
    throw new ConfigError(`${file}: expected a JSON object, got ${(error as Error).message}`);
  }
}

function plotLibrary(): PlotLibrary {
  const require = createRequire(import.meta.url);
  const script = require.resolve('uplot/dist/uPlot.iife.min.js');
  const read = (name: string): string => readFileSync(join(dirname(script), name), 'utf8');
  return {
    script: read('uPlot.iife.min.js'),
    style: read('uPlot.min.css'),
    license: read('../LICENSE'),
  };
}
