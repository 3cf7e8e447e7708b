// SPDX-License-Identifier: Apache-2.0
// Runs every example as a reader would, in the order of the story, on eight demo clips.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('.', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'examples-'));
const clips = join(work, 'clips');
const model = join(work, 'run/model');

const run = async (command: string, args: string[]): Promise<string> =>
  (
    await promisify(execFile)(process.execPath, [command, ...args], { cwd: join(folder, '..') })
  ).stdout.trim();
const example = (name: string, ...args: string[]): Promise<string> =>
  run('node_modules/tsx/dist/cli.mjs', [join(folder, `${name}.ts`), ...args]);

describe('examples', () => {
  it('schedulers-alone prints the golden noise table', async () => {
    const lines = (await example('schedulers-alone')).split('\n');
    // abar at 1, 100 and 1000 for exponent 0.8, computed in float64 by NumPy; B_0 = 256 doubles at ratio 0.9.
    expect(lines[0]).toBe('signal left at t = 1, 100, 1000: 9.9937e-1, 6.6020e-1, 1.7077e-11');
    expect(lines[1]).toBe('epoch 0: mask ratio 0.9000, batch 512, learning rate 0.000e+0');
    expect(lines[4]).toMatch(/^epoch 59: mask ratio 0\.8000, batch 256, /);
  });

  it('pretrain, finetune, embed, retrieve and reconstruct work on demo clips', async () => {
    await run('packages/trainer/bin/diffmavil.js', ['demo-data', '--out', clips, '--clips', '16']);
    const clip = join(
      clips,
      readdirSync(clips).find((name) => name.endsWith('.mp4'))!,
    );
    // 16 clips; 2 epochs at ratios 0.9 and 0.8 are batches of 8 and 4, so 2 + 4 steps.
    expect(await example('pretrain', clips, join(work, 'run'))).toBe(
      `6 steps, 0 unreadable clips, model in ${join(work, 'run')}/model`,
    );
    expect(await example('finetune', model, clips, join(work, 'finetune'), '1')).toMatch(
      /^top-1 [\d.]+ of \d+ clips, mAP [\d.]+$/,
    );
    expect(await example('embed', model, clip)).toMatch(
      /^\d+ numbers each, cosine similarity -?[\d.]+(e-\d+)?$/,
    );
    expect(await example('retrieve', model, clips)).toMatch(
      /^R@1 [\d.]+ \(chance 0\.0625\), median rank [\d.]+ of 16$/,
    );
    // A tiny AST of random weights in transformers' own format: three classes, probabilities that add up.
    const ast = fileURLToPath(
      new URL('../conformance/golden/fixtures/interop/hf-ast', import.meta.url),
    );
    const heard = (await example('from-hugging-face', ast, clip)).split('\n');
    expect(heard.map((line) => line.slice(-7)).toSorted()).toEqual([
      'LABEL_0',
      'LABEL_1',
      'LABEL_2',
    ]);
    expect(heard.reduce((sum, line) => sum + Number(line.slice(0, 5)), 0)).toBeCloseTo(1, 2);
    const errors = (await example('reconstruct', model, clip))
      .split('\n')
      .map((line) => Number(/error ([\d.]+) of/.exec(line)?.[1]));
    expect(errors).toHaveLength(2);
    // Six steps do not make a painter; NaN and numbers without measure would be a fault.
    for (const error of errors) expect(error).toBeLessThan(20);
  }, 240_000);

  it('frequency-bands trains two models and scores both on the same clips', async () => {
    const few = join(work, 'few');
    await run('packages/trainer/bin/diffmavil.js', ['demo-data', '--out', few, '--clips', '12']);
    const [heading, ...rows] = (
      await example('frequency-bands', few, join(work, 'bands'), '1', '2')
    )
      .split('\n')
      .map((line) => line.trim());
    expect(heading).toMatch(/^\d+ held-out clips; /);
    // Sound by pitch and by detail, video by detail; of each, two models in one step and one of them sampled.
    expect(rows).toHaveLength(9);
    for (const row of rows) expect(row).toMatch(/ error( +\d+\.\d\d){8} {2}power( +\d+\.\d\d){8}$/);
  }, 240_000);
});
