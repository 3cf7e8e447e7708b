// SPDX-License-Identifier: Apache-2.0
// What a report shows of a run, computed from its log: curves, thinned out where they are long, and the figures of the header.
import type { LogRecord } from './json-lines.ts';
import type { RunRecord } from './run-folder.ts';

/** One line of a chart. `low` and `high` are there where each value stands for several steps. */
export interface Curve {
  readonly label: string;
  readonly values: readonly (number | null)[];
  readonly low?: readonly (number | null)[];
  readonly high?: readonly (number | null)[];
}

/** Curves over one horizontal axis. */
export interface Chart {
  readonly title: string;
  /** What the horizontal axis counts. */
  readonly axis: 'step' | 'epoch';
  readonly x: readonly number[];
  readonly curves: readonly Curve[];
  /** Values hold until the next one: drawn as a staircase. */
  readonly stepped: boolean;
  /** Whether a logarithmic axis is offered. */
  readonly offerLog: boolean;
  /** Takes the whole width. */
  readonly wide: boolean;
  /** Steps that one point stands for. */
  readonly stepsPerPoint: number;
}

/** Points of a curve; longer ones are thinned to this many means. */
export const mostPoints = 2000;

const labels: Readonly<Record<string, string>> = {
  loss: 'total',
  audioLoss: 'sound',
  videoLoss: 'video',
  interLoss: 'sound to video',
  intraLoss: 'view to view',
  learningRate: 'learning rate',
  gradientNorm: 'gradient norm',
  waitMs: 'ms before a step',
};

/** Fields of step records that are not curves of their own over steps. */
const notCurves = new Set([
  'step',
  'epoch',
  'batch',
  'elapsedMs',
  'maskRatio',
  'audioMaskRatio',
  'videoMaskRatio',
]);

/** The charts of a run; those it has no figures for are left out. */
export function runCharts(records: readonly LogRecord[]): Chart[] {
  const steps = stepsOf(records);
  const fields = new Set(
    steps.flatMap((record) =>
      Object.entries(record).flatMap(([name, value]) =>
        typeof value === 'number' && !notCurves.has(name) ? [name] : [],
      ),
    ),
  );
  const shown = ['loss', 'audioLoss', 'videoLoss', 'interLoss', 'intraLoss', 'learningRate'];
  const others = [...fields].filter((name) => ![...shown, 'gradientNorm', 'waitMs'].includes(name));
  const overSteps = (title: string, names: readonly string[], more: Partial<Chart> = {}): Chart[] =>
    stepChart(
      title,
      steps,
      names.filter((name) => fields.has(name)),
      more,
    );
  return [
    ...overSteps('Loss', ['loss', 'audioLoss', 'videoLoss'], { wide: true, offerLog: true }),
    ...overSteps('Contrastive losses', ['interLoss', 'intraLoss']),
    ...others.flatMap((name) => overSteps(name, [name])),
    ...overSteps('Gradient norm', ['gradientNorm'], { offerLog: true }),
    ...overSteps('Learning rate', ['learningRate']),
    ...stepChart('Clips per second', steps.map(withThroughput), ['clips per second'], {}),
    ...overSteps('Milliseconds waiting for clips', ['waitMs']),
    ...epochChart('Mask ratio', steps, 'maskRatio'),
    ...epochChart('Mask ratio of sound', steps, 'audioMaskRatio'),
    ...epochChart('Mask ratio of video', steps, 'videoMaskRatio'),
    ...epochChart('Batch size', steps, 'batch'),
    ...evaluationChart(records),
  ];
}

/** The losses of several runs over one axis; nothing for fewer than two runs with steps. */
export function comparisonChart(
  title: string,
  runs: readonly { readonly name: string; readonly records: readonly LogRecord[] }[],
): Chart[] {
  const curves = runs.flatMap(({ name, records }) => {
    const chart = stepChart(title, stepsOf(records), ['loss'], {})[0];
    return chart === undefined ? [] : [{ name, chart }];
  });
  if (curves.length < 2) return [];
  const x = [...new Set(curves.flatMap(({ chart }) => chart.x))].sort((a, b) => a - b);
  return [
    {
      ...curves[0]!.chart,
      x,
      wide: true,
      offerLog: true,
      stepsPerPoint: Math.max(...curves.map(({ chart }) => chart.stepsPerPoint)),
      curves: curves.map(({ name, chart }) => {
        const at = new Map(chart.x.map((step, i) => [step, chart.curves[0]!.values[i]!]));
        return { label: name, values: x.map((step) => at.get(step) ?? null) };
      }),
    },
  ];
}

function stepsOf(records: readonly LogRecord[]): LogRecord[] {
  return records.filter((record) => record.event === 'step');
}

function withThroughput(record: LogRecord): LogRecord {
  const [batch, elapsedMs] = [number(record['batch']), number(record['elapsedMs'])];
  const rate = batch === null || elapsedMs === null || elapsedMs === 0 ? null : batch / elapsedMs;
  return { ...record, 'clips per second': rate === null ? null : rate * 1000 };
}

function stepChart(
  title: string,
  steps: readonly LogRecord[],
  names: readonly string[],
  more: Partial<Chart>,
): Chart[] {
  const stepsPerPoint = Math.max(1, Math.ceil(steps.length / mostPoints));
  const buckets = Array.from({ length: Math.ceil(steps.length / stepsPerPoint) }, (_, i) =>
    steps.slice(i * stepsPerPoint, (i + 1) * stepsPerPoint),
  );
  const curves = names.map((name): Curve => {
    const found = buckets.map((bucket) =>
      bucket.map((record) => number(record[name])).filter((value) => value !== null),
    );
    const each = (of: (values: number[]) => number): (number | null)[] =>
      found.map((values) => (values.length === 0 ? null : rounded(of(values))));
    const values = each((all) => all.reduce((sum, value) => sum + value, 0) / all.length);
    const label = labels[name] ?? name;
    if (stepsPerPoint === 1) return { label, values };
    const [low, high] = [each((all) => Math.min(...all)), each((all) => Math.max(...all))];
    return { label, values, low, high };
  });
  const filled = curves.filter(({ values }) => values.some((value) => value !== null));
  if (filled.length === 0) return [];
  const x = buckets.map((bucket) => bucket.at(-1)!.step);
  const plain = { stepped: false, offerLog: false, wide: false };
  return [{ title, axis: 'step', x, curves: filled, stepsPerPoint, ...plain, ...more }];
}

/** The value of each epoch's last step; nothing where it never changes: the header tells it. */
function epochChart(title: string, steps: readonly LogRecord[], field: string): Chart[] {
  const byEpoch = new Map<number, number>();
  for (const record of steps) {
    const [epoch, value] = [number(record['epoch']), number(record[field])];
    if (epoch !== null && value !== null) byEpoch.set(epoch, rounded(value));
  }
  if (new Set(byEpoch.values()).size < 2) return [];
  const x = [...byEpoch.keys()].sort((a, b) => a - b);
  const curves = [{ label: title.toLowerCase(), values: x.map((epoch) => byEpoch.get(epoch)!) }];
  const plain = { offerLog: false, wide: false, stepsPerPoint: 1 };
  return [{ title, axis: 'epoch', x, curves, stepped: true, ...plain }];
}

/** Figures between 0 and 1 of the evaluations during a run; nothing for fewer than two. */
function evaluationChart(records: readonly LogRecord[]): Chart[] {
  const evaluations = records.filter((record) => record.event === 'evaluation');
  if (evaluations.length < 2) return [];
  const names = Object.keys(evaluations[0]!).filter((name) =>
    evaluations.every((record) => {
      const value = number(record[name]);
      return name !== 'step' && value !== null && value >= 0 && value <= 1;
    }),
  );
  return stepChart('Evaluation', evaluations, names, {});
}

/** The header of a run: what a person wants to know first. */
export interface RunSummary {
  readonly status: 'finished' | 'stopped' | 'unfinished' | 'empty';
  readonly steps: number;
  readonly plannedSteps: number | null;
  /** Epochs begun. */
  readonly epochs: number;
  readonly plannedEpochs: number | null;
  readonly clips: number | null;
  readonly backend: string | null;
  /** First and last of each. */
  readonly loss: readonly [number, number] | null;
  readonly maskRatio: readonly [number, number] | null;
  readonly batch: readonly [number, number] | null;
  /** Time spent in optimizer steps; loading and checkpoints not counted. */
  readonly stepMs: number;
  /** Median over steps. */
  readonly clipsPerSecond: number | null;
  readonly resumes: number;
  /** Unreadable clips: name -> reason. */
  readonly badClips: ReadonlyMap<string, string>;
}

export function summarizeRun(
  records: readonly LogRecord[],
  config: RunRecord['config'] | null,
): RunSummary {
  const steps = stepsOf(records);
  const starts = records.filter((record) => record.event === 'start');
  const start = starts.at(-1);
  return {
    status: statusOf(records, steps),
    steps: steps.at(-1)?.step ?? 0,
    plannedSteps: number(start?.['steps']),
    epochs: steps.length === 0 ? 0 : (number(steps.at(-1)!['epoch']) ?? 0) + 1,
    plannedEpochs: number(start?.['epochs']) ?? config?.epochs ?? null,
    clips: number(start?.['clips']),
    backend: typeof start?.['backend'] === 'string' ? start['backend'] : null,
    loss: ends(steps, 'loss'),
    maskRatio: ends(steps, 'maskRatio'),
    batch: ends(steps, 'batch'),
    stepMs: steps.reduce((sum, record) => sum + (number(record['elapsedMs']) ?? 0), 0),
    clipsPerSecond: medianRate(steps),
    resumes: starts.filter((record) => (number(record['resumedFrom']) ?? 0) > 0).length,
    badClips: badClipsOf(records),
  };
}

function statusOf(
  records: readonly LogRecord[],
  steps: readonly LogRecord[],
): RunSummary['status'] {
  const last = records.at(-1);
  const finished = last?.event === 'end' ? last['finished'] : null;
  if (finished === true) return 'finished';
  if (finished === false) return 'stopped';
  return steps.length === 0 ? 'empty' : 'unfinished';
}

/** Clips per second. */
function medianRate(steps: readonly LogRecord[]): number | null {
  const rates = steps
    .map((record) => number(withThroughput(record)['clips per second']))
    .filter((rate) => rate !== null)
    .sort((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)] ?? null;
}

function badClipsOf(records: readonly LogRecord[]): Map<string, string> {
  const name = (value: unknown): string => (typeof value === 'string' ? value : 'unknown');
  return new Map(
    records
      .filter((record) => record.event === 'bad-clip')
      .map((record) => [name(record['clip']), name(record['reason'])]),
  );
}

/** First and last finite value of a field. */
function ends(steps: readonly LogRecord[], field: string): [number, number] | null {
  const values = steps.map((record) => number(record[field])).filter((value) => value !== null);
  const [first, last] = [values[0], values.at(-1)];
  return first === undefined || last === undefined ? null : [first, last];
}

/** A finite number, or null. */
function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Five significant digits: what a chart can show. */
function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
