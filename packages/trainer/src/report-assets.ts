// SPDX-License-Identifier: Apache-2.0
// Style and script of a report, put into the page as they are; with uPlot they are all the page loads, so it opens without a network.
// The script draws every `.chart` from the JSON in `#charts`, which is an array of `Chart` (report-figures.ts).

export const pageStyle: string = `
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --text: #1c2026; --quiet: #636a76; --line: #e3e4e8; --soft: #f0f1f3;
  --good: #1d7a4c; --warn: #9a5b00;
  --curve-1: #1f5fae; --curve-2: #d2600f; --curve-3: #128a6a; --curve-4: #a3468f; --curve-5: #6b6f79;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121418; --card: #1a1d23; --text: #e4e7ec; --quiet: #9aa1ae; --line: #2c3039; --soft: #23272f;
    --good: #5cc78f; --warn: #e3a648;
    --curve-1: #6ea8f0; --curve-2: #f09a56; --curve-3: #4cc7a3; --curve-4: #d98ac8; --curve-5: #a8aebb;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
}
main { max-width: 1160px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 21px; font-weight: 640; letter-spacing: -.005em; margin: 0; }
h3 { font-size: 14px; font-weight: 620; margin: 36px 0 12px; }
h4 { font-size: 13px; font-weight: 600; margin: 18px 0 8px; color: var(--quiet); }
p { margin: 0; }
.quiet, figcaption small { color: var(--quiet); font-size: 13px; }
.top { display: flex; flex-wrap: wrap; gap: 6px 20px; align-items: baseline; justify-content: space-between; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; }
a { color: var(--curve-1); text-underline-offset: 3px; }
section.run { margin-top: 56px; padding-top: 28px; border-top: 1px solid var(--line); }
section.run.only { margin-top: 20px; padding-top: 0; border-top: 0; }
.run-title { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; }
.status { font-size: 13px; color: var(--quiet); }
.status::before { content: ''; display: inline-block; width: 8px; height: 8px; border-radius: 50%; margin-right: 7px; background: var(--quiet); }
.status.finished::before { background: var(--good); }
.status.stopped::before, .status.unfinished::before { background: var(--warn); }
.card, dl.tiles { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
dl.tiles { display: flex; flex-wrap: wrap; gap: 14px 38px; margin: 18px 0 0; padding: 16px 20px; }
dl.tiles div { min-width: 0; }
dt { font-size: 12px; color: var(--quiet); }
dd { margin: 1px 0 0; font-size: 17px; font-weight: 560; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dd small { font-size: 13px; font-weight: 400; color: var(--quiet); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; margin-top: 16px; }
.grid > * { min-width: 0; margin: 0; }
figure { padding: 14px 16px 10px; }
figure.wide { grid-column: 1 / -1; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; justify-content: space-between; font-size: 14px; font-weight: 600; margin-bottom: 8px; }
figcaption small, figcaption label { font-weight: 400; }
figcaption label { font-size: 13px; color: var(--quiet); display: inline-flex; gap: 6px; align-items: center; }
figcaption input { margin: 0; accent-color: var(--curve-1); }
.picture img { display: block; width: 100%; height: auto; border-radius: 4px; image-rendering: auto; }
.picture figcaption { margin: 10px 0 0; font-weight: 400; font-size: 13px; color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 12px; border-top: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { padding-left: 16px; }
thead th { border-top: 0; font-size: 12px; font-weight: 500; color: var(--quiet); }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; }
tr.group th { background: var(--soft); font-size: 12px; color: var(--quiet); padding: 5px 16px; }
.config tr:not(.group) th { width: 42%; }
td code, .config th { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.bar { display: inline-block; vertical-align: middle; width: 90px; height: 6px; border-radius: 3px; background: var(--soft); margin-right: 10px; overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--curve-1); }
details { margin-top: 16px; }
summary { cursor: pointer; padding: 12px 16px; font-weight: 600; font-size: 14px; }
summary small { font-weight: 400; color: var(--quiet); font-size: 13px; }
.notes { margin: 10px 0 0; padding-left: 18px; color: var(--quiet); font-size: 13px; }
.hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.uplot { width: 100%; font-family: inherit; }
.u-legend { text-align: left; margin: 4px 0 0; font-size: 13px; color: var(--quiet); }
.u-legend .u-value { color: var(--text); font-variant-numeric: tabular-nums; display: inline-block; min-width: 4.5em; }
.u-inline tr { margin-right: 10px; }
.u-legend th, .u-legend td { font-weight: 400; border: 0; padding: 2px 4px 2px 0; }
.u-legend .u-series > * { padding: 2px 4px 2px 0; }
.u-legend .u-marker { width: 10px; height: 10px; border-radius: 3px; }
.u-legend .edge, .u-legend .u-series:first-child .u-marker { display: none; }
.u-select { background: color-mix(in srgb, var(--curve-1) 14%, transparent); }
.u-hz .u-cursor-x, .u-hz .u-cursor-y { border-color: var(--quiet); opacity: .5; }
@media (max-width: 600px) { main { padding: 24px 14px 60px; } dl.tiles { gap: 12px 28px; padding: 14px 16px; } }
@media print { details { display: none; } .card, dl.tiles { break-inside: avoid; } }
`;

export const pageScript: string = `
(() => {
  'use strict';
  const charts = JSON.parse(document.getElementById('charts').textContent);
  const holders = [...document.querySelectorAll('.chart')];
  const plots = new Map();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const format = (value) => {
    if (value === null || value === undefined) return '\\u2013';
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e5) ? Number(value.toPrecision(3)).toExponential() : String(Number(value.toPrecision(4)));
  };

  function columnsOf(chart) {
    const series = [];
    const bands = [];
    const data = [chart.x];
    chart.curves.forEach((curve, i) => {
      const stroke = color('--curve-' + (1 + (i % 5)));
      data.push(curve.values);
      const main = { label: curve.label, stroke, width: 1.75, spanGaps: true, value: (u, v) => format(v) };
      if (chart.stepped) main.paths = uPlot.paths.stepped({ align: 1 });
      if (chart.stepped || chart.x.length > 20) main.points = { show: false };
      series.push(main);
      if (!curve.low) return;
      const at = data.length;
      data.push(curve.low, curve.high);
      const edge = { class: 'edge', width: 0, points: { show: false }, spanGaps: true };
      series.push({ ...edge, label: curve.label + ', least' }, { ...edge, label: curve.label + ', most' });
      bands.push({ series: [at + 1, at], fill: stroke + '2e' });
    });
    return { series, bands, data };
  }

  function draw(holder) {
    const chart = charts[Number(holder.dataset.chart)];
    plots.get(holder)?.destroy();
    const { series, bands, data } = columnsOf(chart);
    const width = holder.clientWidth;
    const axis = { stroke: color('--quiet'), font: '12px system-ui, sans-serif', ticks: { show: false }, grid: { stroke: color('--line'), width: 1 } };
    const last = chart.x.length - 1;
    const rest = (u) => { if (u.cursor.idx == null) u.setLegend({ idx: last }, false); };
    const plot = new uPlot({
      width,
      height: chart.wide ? 300 : 200,
      cursor: { sync: { key: holder.dataset.sync + chart.axis }, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: false }, y: { distr: holder.dataset.log === 'on' ? 3 : 1 } },
      axes: [
        { ...axis, size: 32, grid: { show: false }, incrs: [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6, 7].map((p) => n * 10 ** p)).sort((a, b) => a - b) },
        { ...axis, size: 58, values: (u, ticks) => ticks.map((v) => (v === null ? '' : format(v))) },
      ],
      series: [{ label: chart.axis, value: (u, v) => (v == null ? '\\u2013' : String(v)) }, ...series],
      bands,
      hooks: {
        ready: [rest],
        setLegend: [rest],
        setSeries: [(u, i, change) => {
          if (i === null || change.show === undefined) return;
          for (const edge of [i + 1, i + 2]) {
            if (u.series[edge]?.class === 'edge' && u.series[i].class !== 'edge') u.setSeries(edge, { show: change.show });
            else break;
          }
        }],
      },
    }, data, holder);
    plots.set(holder, plot);
  }

  const drawAll = () => holders.forEach(draw);
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  new ResizeObserver(() => {
    for (const [holder, plot] of plots) {
      if (holder.clientWidth > 0 && holder.clientWidth !== plot.width) plot.setSize({ width: holder.clientWidth, height: plot.height });
    }
  }).observe(document.querySelector('main'));
  document.addEventListener('change', (event) => {
    const holder = event.target.closest('figure')?.querySelector('.chart');
    if (!holder || !event.target.matches('.log')) return;
    holder.dataset.log = event.target.checked ? 'on' : 'off';
    draw(holder);
  });
})();
`;
