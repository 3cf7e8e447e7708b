// SPDX-License-Identifier: Apache-2.0
// The HTML of a report: plain strings from plain values. Everything that comes from a run is escaped.
import { pageScript, pageStyle } from './report-assets.ts';
import { evaluationView } from './report-evaluation.ts';
import type { Chart, RunSummary } from './report-figures.ts';
import { escapeHtml, formatFigure, htmlTable } from './report-html.ts';

/** A picture to embed. */
export interface ReportPicture {
  readonly name: string;
  readonly description: string | null;
  /** PNG bytes. */
  readonly bytes: Uint8Array;
}

/** What is shown of one run. */
export interface RunView {
  readonly name: string;
  /** 'pretrain' or 'finetune'; null when `config.json` is not there. */
  readonly kind: string | null;
  readonly summary: RunSummary;
  readonly charts: readonly Chart[];
  readonly pictures: readonly ReportPicture[];
  /** Pictures left out, and why. */
  readonly pictureNotes: readonly string[];
  /** The newest evaluation of the log and `evaluation.json`, by where they come from. */
  readonly evaluations: readonly { readonly source: string; readonly figures: unknown }[];
  /** The content of `config.json`. */
  readonly config: Readonly<Record<string, unknown>> | null;
}

/** `summary.json`: a table to put on top. */
export interface SummaryTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  readonly notes: readonly string[];
}

export interface ReportView {
  readonly title: string;
  readonly summary: SummaryTable | null;
  readonly comparisons: readonly Chart[];
  readonly runs: readonly RunView[];
}

/** Script, style and licence of uPlot, as its package holds them. */
export interface PlotLibrary {
  readonly script: string;
  readonly style: string;
  readonly license: string;
}

/** The whole page. It may load nothing: its policy forbids every source but what is in the file. */
export function reportPage(view: ReportView, library: PlotLibrary): string {
  const charts: Chart[] = [];
  const sections = [
    view.summary === null ? '' : summaryTable(view.summary),
    view.comparisons.length === 0
      ? ''
      : `<div class="grid">${chartFigures(view.comparisons, charts, 'compare')}</div>`,
    ...view.runs.map((run, i) => runSection(run, i, view.runs.length === 1, charts)),
  ];
  const policy =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(view.title)} - diffmavil report</title>
<style>${library.style}</style>
<style>${pageStyle}</style>
</head>
<body>
<main>
<header class="top">
<div><p class="quiet">diffmavil report</p><h1>${escapeHtml(view.title)}</h1></div>
${view.runs.length > 1 ? navigation(view.runs) : ''}
</header>
<noscript><p class="quiet">The curves are drawn by a script, which is switched off here; figures, pictures and tables are all there.</p></noscript>
${sections.join('\n')}
</main>
<script type="application/json" id="charts">${scriptJson(charts)}</script>
<script>/* uPlot\n${library.license}\n*/\n${library.script}</script>
<script>${pageScript}</script>
</body>
</html>
`;
}

function navigation(runs: readonly RunView[]): string {
  const links = runs.map(({ name }, i) => `<a href="#run-${i}">${escapeHtml(name)}</a>`);
  return `<nav aria-label="Runs">${links.join('')}</nav>`;
}

function summaryTable({ columns, rows, notes }: SummaryTable): string {
  const list = notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('');
  return `<div class="card scroll" style="margin-top:20px">${htmlTable(columns, rows)}</div>${list === '' ? '' : `<ul class="notes">${list}</ul>`}`;
}

const kinds: Readonly<Record<string, string>> = {
  pretrain: 'pre-training',
  finetune: 'fine-tuning',
};

const states: Readonly<Record<RunSummary['status'], string>> = {
  finished: 'finished',
  stopped: 'stopped before the end; --resume goes on',
  unfinished: 'no end in the log: still running, or interrupted',
  empty: 'no steps in the log',
};

function runSection(run: RunView, index: number, only: boolean, charts: Chart[]): string {
  const { summary } = run;
  const kind = run.kind === null ? '' : (kinds[run.kind] ?? run.kind);
  const title = only
    ? `<p class="quiet">${escapeHtml(kind)}</p>`
    : `<h2>${escapeHtml(run.name)}</h2><p class="quiet">${escapeHtml(kind)}</p>`;
  const curves =
    run.charts.length === 0
      ? ''
      : `<div class="grid">${chartFigures(run.charts, charts, `run-${index}`)}</div>
<p class="quiet" style="margin-top:8px">Drag across a chart to zoom, double-click to see all; click a name to hide its curve.</p>`;
  return `<section class="run${only ? ' only' : ''}" id="run-${index}" aria-label="${escapeHtml(run.name)}">
<div class="run-title">${title}<p class="status ${summary.status}">${states[summary.status]}</p></div>
${tiles(summary)}
${run.evaluations.map(({ source, figures }) => evaluationView(source, figures)).join('\n')}
${curves}
${pictures(run)}
${badClips(summary)}
${run.config === null ? '' : configTable(run.config)}
</section>`;
}

function tiles(summary: RunSummary): string {
  const { badClips, clips, clipsPerSecond, plannedEpochs, plannedSteps, resumes } = summary;
  const of = (done: number, planned: number | null): string =>
    planned === null ? String(done) : `${done} <small>of ${planned}</small>`;
  const change = (ends: readonly [number, number] | null): string | null =>
    ends === null
      ? null
      : [...new Set(ends.map((value) => formatFigure(value)))].join(' <small>to</small> ');
  const rate = clipsPerSecond === null ? null : formatFigure(clipsPerSecond);
  const entries: readonly (readonly [name: string, html: string | null])[] = [
    ['steps', of(summary.steps, plannedSteps)],
    ['epochs', of(summary.epochs, plannedEpochs)],
    ['loss, first to last', change(summary.loss)],
    ['mask ratio', change(summary.maskRatio)],
    ['batch size', change(summary.batch)],
    ['clips', clips === null ? null : String(clips)],
    ['unreadable clips', badClips.size === 0 ? null : String(badClips.size)],
    ['clips per second', rate === null ? null : `${rate} <small>median</small>`],
    ['time in steps', duration(summary.stepMs)],
    ['backend', summary.backend === null ? null : escapeHtml(summary.backend)],
    ['resumed', resumes === 0 ? null : `${resumes} <small>times</small>`],
  ];
  const shown = entries.filter(([, html]) => html !== null);
  return `<dl class="tiles">${shown.map(([name, html]) => `<div><dt>${name}</dt><dd>${html}</dd></div>`).join('')}</dl>`;
}

/** Figures with empty holders; the script draws into them. Adds the charts to `all`, whose index a holder names. */
function chartFigures(charts: readonly Chart[], all: Chart[], sync: string): string {
  return charts
    .map((chart) => {
      const at = all.push(chart) - 1;
      const many = chart.curves.length > 1;
      const range = chart.curves.some((curve) => curve.low) ? 'mean and range' : 'mean';
      const note =
        chart.stepsPerPoint === 1
          ? `by ${chart.axis}`
          : `by ${chart.axis}, ${range} of every ${chart.stepsPerPoint}`;
      const log = chart.offerLog
        ? '<label><input type="checkbox" class="log"> logarithmic</label>'
        : '';
      const text = chart.curves.map(
        ({ label, values }) =>
          `${many || label !== chart.title.toLowerCase() ? `${label} ` : ''}from ${ends(values).join(' to ')}`,
      );
      return `<figure class="card${chart.wide ? ' wide' : ''}">
<figcaption><span>${escapeHtml(chart.title)} <small>${escapeHtml(note)}</small></span>${log}</figcaption>
<p class="hidden-text">${escapeHtml(`${chart.title} by ${chart.axis}: ${text.join('; ')}.`)}</p>
<div class="chart" data-chart="${at}" data-sync="${sync}" aria-hidden="true"></div>
</figure>`;
    })
    .join('\n');
}

function ends(values: readonly (number | null)[]): string[] {
  const found = values.filter((value) => value !== null);
  return [found[0], found.at(-1)].map((value) => formatFigure(value ?? null));
}

function pictures({ pictures: all, pictureNotes, name }: RunView): string {
  if (all.length === 0 && pictureNotes.length === 0) return '';
  const figures = all.map(({ name: file, description, bytes }) => {
    const text = escapeHtml(description ?? file);
    const alt = escapeHtml(`Reconstruction of the run ${name}: ${description ?? file}`);
    return `<figure class="card picture wide"><img alt="${alt}" src="data:image/png;base64,${Buffer.from(bytes).toString('base64')}"><figcaption>${text}</figcaption></figure>`;
  });
  const notes = pictureNotes.map((note) => `<li>${escapeHtml(note)}</li>`).join('');
  return `<h3>Reconstructions</h3><div class="grid">${figures.join('\n')}</div>${notes === '' ? '' : `<ul class="notes">${notes}</ul>`}`;
}

const mostBadClips = 200;

function badClips({ badClips: all }: RunSummary): string {
  if (all.size === 0) return '';
  const rows = [...all].slice(0, mostBadClips);
  const more =
    all.size > rows.length
      ? `<p class="quiet" style="padding:8px 16px">and ${all.size - rows.length} more, in log.jsonl</p>`
      : '';
  return `<details class="card"${all.size <= 10 ? ' open' : ''}><summary>Unreadable clips <small>${all.size}, left out of training</small></summary><div class="scroll">${htmlTable(['clip', 'reason'], rows)}</div>${more}</details>`;
}

function configTable(config: Readonly<Record<string, unknown>>): string {
  const { config: settings, ...origin } = config;
  const groups = new Map<string, [string, unknown][]>([['run', Object.entries(origin)]]);
  for (const [name, value] of Object.entries(isRecord(settings) ? settings : {})) {
    if (isRecord(value)) groups.set(name, flatten(value, ''));
    else groups.get('run')!.push([name, value]);
  }
  const rows = [...groups].flatMap(([group, entries]) => [
    `<tr class="group"><th colspan="2" scope="colgroup">${escapeHtml(group)}</th></tr>`,
    ...entries.map(
      ([name, value]) =>
        `<tr><th scope="row">${escapeHtml(name)}</th><td><code>${escapeHtml(typeof value === 'string' ? value : JSON.stringify(value))}</code></td></tr>`,
    ),
  ]);
  return `<details class="card"><summary>Configuration</summary><div class="scroll"><table class="config"><tbody>${rows.join('')}</tbody></table></div></details>`;
}

function flatten(value: Readonly<Record<string, unknown>>, path: string): [string, unknown][] {
  return Object.entries(value).flatMap(([name, inner]): [string, unknown][] =>
    isRecord(inner) ? flatten(inner, `${path}${name}.`) : [[`${path}${name}`, inner]],
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  return hours > 0
    ? `${hours} h ${minutes % 60} min`
    : `${minutes} min ${Math.round(seconds % 60)} s`;
}

/** JSON that cannot end the script element it stands in. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}
