// SPDX-License-Identifier: Apache-2.0
// The table of docs/parity.md: how far each case is from PyTorch on each backend. The tests that run the cases hold the table to what
// they measure; DIFFMAVIL_PARITY_TABLE=write makes them fill it in instead.
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Row } from './trace-comparison.ts';

const page = new URL('../docs/parity.md', import.meta.url);
/** Columns of the table, two each: worst result, worst gradient. */
const backends: readonly string[] = ['cpu', 'wasm', 'diffmavil-cpu', 'diffmavil-cuda'];
/** Another processor adds in another order. */
const slack = 10;
const missing = '-';

/** First cell of every row of the table. */
export function tableCases(): string[] {
  return tableRows().map(([name = '']) => name.slice(1, -1));
}

/** Fails when the table says less than what was measured, or nothing; or writes it there. */
export function expectInTable(name: string, backend: string, rows: readonly Row[]): void {
  // Larger cases are not in the table.
  if (process.env['DIFFMAVIL_TRACE_FOLDER'] !== undefined) return;
  const measured = [false, true].map((gradient) => worst(rows, gradient));
  if (process.env['DIFFMAVIL_PARITY_TABLE'] === 'write') return write(name, backend, measured);
  const cells = tableRows().find(([first]) => first === `\`${name}\``) ?? [];
  const at = 1 + 2 * backends.indexOf(backend);
  const faults = measured.flatMap((error, i) => {
    const cell = cells[at + i] ?? missing;
    const said = cell === missing ? 0 : Number(cell);
    return error <= slack * said ? [] : [`${cell} for ${show(error)}`];
  });
  expect(faults, `docs/parity.md, ${name} on ${backend}`).toEqual([]);
}

/** The greatest error of the gradients, or of everything else; 0 when there are none. */
function worst(rows: readonly Row[], gradient: boolean): number {
  return Math.max(
    0,
    ...rows.filter(({ name }) => name.startsWith('grad.') === gradient).map(({ error }) => error),
  );
}

function write(name: string, backend: string, measured: readonly number[]): void {
  const rows = new Map(tableRows().map((cells) => [cells[0] ?? '', cells]));
  const first = `\`${name}\``;
  const empty = Array.from({ length: 2 * backends.length }, () => missing);
  const cells = [...(rows.get(first) ?? [first, ...empty])];
  cells.splice(1 + 2 * backends.indexOf(backend), 2, ...measured.map(show));
  rows.set(first, cells);
  const lines = [...rows.values()].map((each) => `| ${each.join(' | ')} |`).toSorted();
  const [before, , after] = parts();
  writeFileSync(page, [...before, ...lines, ...after].join('\n'));
}

function show(error: number): string {
  return error === 0 ? missing : error.toExponential(1);
}

function tableRows(): string[][] {
  return parts()[1].map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The lines before, in and after the table's body. */
function parts(): [string[], string[], string[]] {
  const lines = readFileSync(page, 'utf8').split('\n');
  const start = lines.findIndex((line) => line.startsWith('|---')) + 1;
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'));
  return [lines.slice(0, start), lines.slice(start, start + length), lines.slice(start + length)];
}
