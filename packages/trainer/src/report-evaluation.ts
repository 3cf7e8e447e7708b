// SPDX-License-Identifier: Apache-2.0
// Evaluation figures as they come: numbers of any name, a row for each class where there are classes, unreadable clips by name.
import { escapeHtml, formatFigure, formatPercent, htmlTable } from './report-html.ts';

type Figures = Readonly<Record<string, unknown>>;

/** How known figures are called, in the order they are shown; shares are shown as percentages. */
const known: Readonly<Record<string, { readonly label: string; readonly share?: true }>> = {
  top1: { label: 'top-1 accuracy', share: true },
  top5: { label: 'top-5 accuracy', share: true },
  meanAveragePrecision: { label: 'mAP' },
  meanAuc: { label: 'mAUC' },
  dPrime: { label: "d'" },
  recallAt1: { label: 'R@1', share: true },
  recallAt5: { label: 'R@5', share: true },
  recallAt10: { label: 'R@10', share: true },
  medianRank: { label: 'median rank' },
  chance: { label: 'chance', share: true },
  clips: { label: 'clips' },
  skippedClasses: { label: 'classes left out' },
};

const notFigures = new Set(['event', 'labels', 'perClass', 'averagePrecision', 'auc', 'badClips']);

/** A block of HTML for one evaluation; empty when there is nothing to show. */
export function evaluationView(source: string, figures: unknown): string {
  const body = isFigures(figures) ? block(figures) : '';
  return body === ''
    ? ''
    : `<h3>Evaluation <span class="quiet">${escapeHtml(source)}</span></h3>${body}`;
}

function block(figures: Figures): string {
  const place = (name: string): number => {
    const at = Object.keys(known).indexOf(name);
    return at === -1 ? Infinity : at;
  };
  const entries = Object.entries(figures)
    .filter(([name, value]) => !notFigures.has(name) && !(name === 'skippedClasses' && value === 0))
    .sort(([a], [b]) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0));
  const tiles = entries.flatMap(([name, value]) => {
    if (typeof value !== 'number' && typeof value !== 'string') return [];
    const { label = name, share } = known[name] ?? {};
    const text =
      typeof value === 'string' ? value : share ? formatPercent(value) : formatFigure(value);
    return [`<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(text)}</dd></div>`];
  });
  const nested = entries.flatMap(([name, value]) => {
    const inner = isFigures(value) ? block(value) : '';
    return inner === '' ? [] : [`<h4>${escapeHtml(name)}</h4>${inner}`];
  });
  const list = tiles.length === 0 ? '' : `<dl class="tiles">${tiles.join('')}</dl>`;
  return [list, classTable(figures), badClipTable(figures), ...nested].join('');
}

function classTable({ labels, perClass, averagePrecision, auc }: Figures): string {
  if (!Array.isArray(labels) || labels.length === 0) return '';
  const right = isFigures(perClass) ? perClass : null;
  const [precision, area] = [averagePrecision, auc].map((v): unknown[] | null =>
    Array.isArray(v) ? v : null,
  ) as [unknown[] | null, unknown[] | null];
  const columns = [
    'class',
    ...(right === null ? [] : ['right']),
    ...(precision === null ? [] : ['average precision']),
    ...(area === null ? [] : ['area under ROC']),
  ];
  if (columns.length === 1) return '';
  const cell = (value: unknown): string => {
    if (typeof value !== 'number') return '<td>\u2013</td>';
    const width = Math.round(100 * Math.min(1, Math.max(0, value)));
    return `<td><span class="bar" aria-hidden="true"><i style="width:${width}%"></i></span>${formatPercent(value)}</td>`;
  };
  const rows = labels.map((label: unknown, i) => {
    const name = String(label);
    const values = [
      ...(right === null ? [] : [right[name]]),
      ...(precision === null ? [] : [precision[i]]),
      ...(area === null ? [] : [area[i]]),
    ];
    return `<tr><th scope="row">${escapeHtml(name)}</th>${values.map(cell).join('')}</tr>`;
  });
  const head = columns.map((name) => `<th scope="col">${name}</th>`).join('');
  const table = `<table><thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return `<details class="card"${labels.length <= 20 ? ' open' : ''}><summary>Classes <small>${labels.length}</small></summary><div class="scroll">${table}</div></details>`;
}

function badClipTable({ badClips }: Figures): string {
  if (!isFigures(badClips)) return '';
  const rows = Object.entries(badClips).map(([clip, reason]) => [clip, String(reason)]);
  if (rows.length === 0) return '';
  return `<details class="card"><summary>Unreadable clips <small>${rows.length}, left out of the evaluation</small></summary><div class="scroll">${htmlTable(['clip', 'reason'], rows)}</div></details>`;
}

function isFigures(value: unknown): value is Figures {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
