// SPDX-License-Identifier: Apache-2.0
// Pieces of HTML and number formats that the parts of a report share.

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** Four significant digits, three beside an exponent where that reads better; a dash for null. */
export function formatFigure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '\u2013';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return Number(value.toPrecision(3)).toExponential();
  }
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A table; text is escaped, numbers stand to the right, the first column names the row. */
export function htmlTable(
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const numeric = columns.map(
    (_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'),
  );
  const side = (i: number): string => (numeric[i] === true ? ' class="number"' : '');
  const head = columns.map((name, i) => `<th scope="col"${side(i)}>${escapeHtml(name)}</th>`);
  const cell = (value: string | number, i: number): string => {
    const text = escapeHtml(typeof value === 'number' ? formatFigure(value) : value);
    return i === 0 ? `<th scope="row"${side(i)}>${text}</th>` : `<td${side(i)}>${text}</td>`;
  };
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`);
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}
