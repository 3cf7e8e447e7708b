// SPDX-License-Identifier: Apache-2.0
// Results as a Markdown table on standard output and as JSON in bench/results.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Rows of text under a head, aligned, in Markdown. Columns after the first `leftAligned` are numbers. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  leftAligned: number = 1,
): string {
  const widths = head.map((_, i) =>
    Math.max(3, ...[head, ...rows].map((row) => (row[i] ?? '').length)),
  );
  const pad = (cell: string, i: number): string =>
    i < leftAligned ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  const line = (row: readonly string[]): string => `| ${row.map(pad).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i < leftAligned ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** Three significant digits; a dash for what was not measured. */
export function figure(value: number | null | undefined, unit: string = ''): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.max(Math.abs(value), 1e-3))));
  return `${value.toFixed(digits)}${unit}`;
}

/** A share 0..1 in per cent. */
export function percent(share: number | null): string {
  return share === null || !Number.isFinite(share) ? '–' : `${(100 * share).toFixed(1)} %`;
}

/** A result file: provenance, and what was measured. */
export type Results = { readonly date: string } & Readonly<Record<string, unknown>>;

/** Writes `<date>-<what>.json`, with a number after it when the day has one already; returns its path. */
export function saveResults(folder: string, what: string, results: Results): string {
  mkdirSync(folder, { recursive: true });
  const stem = join(folder, `${results.date.slice(0, 10)}-${what}`);
  let path = `${stem}.json`;
  for (let i = 2; existsSync(path); i++) path = `${stem}-${i}.json`;
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  return path;
}
