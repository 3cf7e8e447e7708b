// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from './cli/main.ts';
import { blankPicture, encodePicture } from './picture.ts';
import type { Chart } from './report-figures.ts';
import { writeReport } from './report.ts';

const root = mkdtempSync(join(tmpdir(), 'diffmavil-report-'));
afterAll(() => rmSync(root, { recursive: true }));

const start = { event: 'start', step: 0, backend: 'cpu', clips: 24, epochs: 3, steps: 6 };

/** Steps 1..count, two an epoch: loss 10, 9, ..., half of it sound; 8 clips in 400 ms, so 20 a second. */
const steps = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    event: 'step',
    step: i + 1,
    epoch: Math.floor(i / 2),
    batch: 8,
    elapsedMs: 400,
    loss: 10 - i,
    audioLoss: (10 - i) / 2,
    gradientNorm: 1,
    learningRate: 0.001,
    maskRatio: 0.9 - 0.05 * Math.floor(i / 2),
  }));

const end = (finished: boolean): object => ({ event: 'end', step: 6, finished });

function makeRun(name: string, records: readonly object[], kind = 'pretrain'): string {
  const run = join(root, name);
  mkdirSync(run, { recursive: true });
  const config = { seed: 7, epochs: 3, model: { audio: { mels: 64 } } };
  writeFileSync(join(run, 'config.json'), JSON.stringify({ kind, config, data: 'clips/' }));
  writeFileSync(join(run, 'log.jsonl'), records.map((r) => `${JSON.stringify(r)}\n`).join(''));
  return run;
}

/** The page, the charts in it, and its text without scripts, styles and tags. */
function report(folder: string): { page: string; charts: Chart[]; text: string } {
  const page = readFileSync(writeReport(folder), 'utf8');
  const json = /<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(page)![1]!;
  const text = page
    .replaceAll(/<(script|style)[^>]*>.*?<\/\1>/gs, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');
  return { page, charts: JSON.parse(json) as Chart[], text };
}

const chartOf = (charts: readonly Chart[], title: string): Chart =>
  charts.find((chart) => chart.title === title)!;

describe('writeReport', () => {
  it('tells steps, epochs, loss, throughput, time and configuration of a finished run', () => {
    const { text, charts } = report(makeRun('finished', [start, ...steps(6), end(true)]));
    expect(text).toContain('pre-training finished steps');
    for (const figure of [
      'steps 6 of 6',
      'epochs 3 of 3',
      'loss, first to last 10 to 5',
      'mask ratio 0.9 to 0.8',
      'batch size 8',
      'clips 24',
      'clips per second 20 median',
      'time in steps 2.4 s',
      'backend cpu',
      'audio.mels 64',
      'seed 7',
    ]) {
      expect(text).toContain(figure);
    }
    const loss = chartOf(charts, 'Loss');
    expect(loss.x).toEqual([1, 2, 3, 4, 5, 6]);
    expect(loss.curves).toEqual([
      { label: 'total', values: [10, 9, 8, 7, 6, 5] },
      { label: 'sound', values: [5, 4.5, 4, 3.5, 3, 2.5] },
    ]);
    expect(chartOf(charts, 'Mask ratio').curves[0]!.values).toEqual([0.9, 0.85, 0.8]);
    expect(chartOf(charts, 'Clips per second').curves[0]!.values).toEqual(Array(6).fill(20));
    // The batch size never changes: the header tells it, there is no chart.
    expect(charts.map(({ title }) => title)).not.toContain('Batch size');
    expect(text).toContain('Loss by step: total from 10 to 5; sound from 5 to 2.5.');
  });

  it('is one file that loads nothing, with scripts that parse', () => {
    const { page } = report(makeRun('alone', [start, ...steps(2)]));
    expect(page).toContain(`content="default-src 'none'; img-src data:;`);
    expect(page).not.toMatch(/<link|<iframe|@import|url\(|\b(src|href)\s*=\s*["']?(https?:)?\/\//i);
    const scripts = [...page.matchAll(/<script>(.*?)<\/script>/gs)].map(([, source]) => source!);
    expect(scripts).toHaveLength(2);
    for (const source of scripts) expect(() => new Script(source)).not.toThrow();
    expect(page).toContain('The MIT License');
  });

  it('shows unreadable clips, evaluations and pictures, and escapes their names', () => {
    const clip = '<script>alert(1)</script>.mp4';
    const evaluation = { event: 'evaluation', step: 2, meanAveragePrecision: 0.25 };
    const bad = { event: 'bad-clip', step: 1, clip, reason: 'empty file' };
    const run = makeRun('full', [start, ...steps(2), bad, evaluation], 'finetune');
    const figures = { top1: 0.75, clips: 8, labels: ['a', 'b'], perClass: { a: 1, b: 0.5 } };
    writeFileSync(join(run, 'evaluation.json'), JSON.stringify(figures));
    mkdirSync(join(run, 'pictures'));
    const png = encodePicture(blankPicture(3, 2, [1, 2, 3]), 'three by two');
    writeFileSync(join(run, 'pictures', 'step-1.png'), png);
    writeFileSync(join(run, 'pictures', 'step-2.png'), png.subarray(0, 20));
    const { page, text } = report(run);
    expect(page).not.toContain('<script>alert');
    expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;.mp4 empty file');
    expect(text).toContain('top-1 accuracy 75.0 %');
    expect(text).toContain('a 100.0 % b 50.0 %');
    expect(text).toContain('after step 2 mAP 0.25');
    expect(page).toContain(`src="data:image/png;base64,${Buffer.from(png).toString('base64')}"`);
    expect(page).toContain('alt="Reconstruction of the run full: three by two"');
    expect(text).toContain('step-2.png is left out: expected a PNG, got ');
  });

  it('survives a log cut short, one without steps, and none at all', () => {
    const run = makeRun('cut', [start, ...steps(3)]);
    writeFileSync(join(run, 'log.jsonl'), '{"event":"step","ste', { flag: 'a' });
    expect(report(run).text).toContain('no end in the log: still running, or interrupted');
    expect(report(run).text).toContain('steps 3 of 6');
    for (const records of [[], [start]]) {
      const { text, charts } = report(makeRun('empty', records));
      expect(text).toContain('no steps in the log');
      expect(charts).toEqual([]);
    }
    rmSync(join(root, 'empty', 'log.jsonl'));
    expect(report(join(root, 'empty')).text).toContain('epochs 0 of 3');
    expect(report(makeRun('halt', [start, ...steps(1), end(false)])).text).toContain(
      'stopped before the end; --resume goes on',
    );
  });

  it('draws gaps for figures that are not finite, which JSON keeps as null', () => {
    const [first, second] = steps(2) as [object, object];
    const { charts } = report(makeRun('gap', [first, { ...second, loss: null }]));
    expect(chartOf(charts, 'Loss').curves[0]!.values).toEqual([10, null]);
  });

  it('thins thousands of steps to means with their range', () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({
      event: 'step',
      step: i + 1,
      loss: i % 3,
    }));
    const { charts } = report(makeRun('many', many));
    const { x, curves, stepsPerPoint } = chartOf(charts, 'Loss');
    // ceil(5000 / 2000) = 3 steps a point; 0, 1, 2 has mean 1; the last point stands for the 2 steps left, 0 and 1.
    expect(stepsPerPoint).toBe(3);
    expect(x).toHaveLength(1667);
    expect([x[0], x.at(-1)]).toEqual([3, 5000]);
    expect([curves[0]!.values[0], curves[0]!.low![0], curves[0]!.high![0]]).toEqual([1, 0, 2]);
    expect(curves[0]!.values.at(-1)).toBe(0.5);
  });

  it('gives every run of a folder a section, compares them, and puts the summary on top', () => {
    const folder = join(root, 'several');
    makeRun('several/scratch', [start, ...steps(2)], 'finetune');
    makeRun('several/finetune', [start, ...steps(4)], 'finetune');
    makeRun('several/pretrain', [start, ...steps(1)]);
    const summary = { title: 'Quick <start>', columns: ['what', 'value'], rows: [['R@1', 0.125]] };
    writeFileSync(join(folder, 'summary.json'), JSON.stringify({ ...summary, notes: ['a note'] }));
    const { page, text, charts } = report(folder);
    expect([...page.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, name]) => name)).toEqual([
      'pretrain',
      'finetune',
      'scratch',
    ]);
    expect(page).toContain('<h1>Quick &lt;start&gt;</h1>');
    expect(text).toContain('what value R@1 0.125');
    expect(text).toContain('a note');
    expect(charts[0]).toMatchObject({
      title: 'Fine-tuning loss',
      x: [1, 2, 3, 4],
      curves: [
        { label: 'finetune', values: [10, 9, 8, 7] },
        { label: 'scratch', values: [10, 9, null, null] },
      ],
    });
    expect(charts.map(({ title }) => title)).not.toContain('Pre-training loss');
  });

  it('says what is wrong with a folder', () => {
    const none = join(root, 'none');
    expect(() => writeReport(none)).toThrow(
      `${none}: expected a run folder, got no folder of that name`,
    );
    mkdirSync(none);
    expect(() => writeReport(none)).toThrow(
      `${none}: expected a run (config.json, log.jsonl) or a folder of runs, got neither. Try: the --out folder of pretrain or finetune`,
    );
    const run = makeRun('broken', [start]);
    writeFileSync(join(run, 'summary.json'), '{"title":"x"}');
    expect(() => writeReport(run)).toThrow(
      `${join(run, 'summary.json')}: expected {title, columns, rows, notes}, got title`,
    );
    writeFileSync(join(run, 'config.json'), '{');
    expect(() => writeReport(run)).toThrow(/config\.json: expected a JSON object, got /);
  });
});

describe('diffmavil report', () => {
  const run = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
    const [out, err]: [string[], string[]] = [[], []];
    const code = await main(['report', ...args], {
      stdout: (line) => out.push(line),
      stderr: (line) => err.push(line),
      isTerminal: false,
    });
    return { code, out: out.join('\n'), err: err.join('\n') };
  };

  it('names the file to open', async () => {
    const folder = makeRun('cli', [start, ...steps(1)]);
    expect(await run(folder)).toEqual({
      code: 0,
      out: `${join(folder, 'report.html')}: open it in a browser.`,
      err: '',
    });
  });

  it('ends with 2 for bad usage and 1 for a folder without a run', async () => {
    expect(await run()).toEqual({
      code: 2,
      out: '',
      err: 'diffmavil report: expected one run folder, got 0. Try: diffmavil report --help',
    });
    const { code, err } = await run(join(root, 'nowhere'));
    expect(code).toBe(1);
    expect(err).toBe(
      `diffmavil report: ${join(root, 'nowhere')}: expected a run folder, got no folder of that name`,
    );
  });
});
