// SPDX-License-Identifier: Apache-2.0
// The harness, not the figures: everything runs on the preset `tiny` and on small ops, and nothing is timed for long.
import { countMacs, defineModel, presets } from '@diffmavil/model';
import { findAddon } from '@diffmavil/native';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from './backends.ts';
import { floorMs } from './ceilings.ts';
import { benchCurriculum, curriculumTable, quarterModel } from './curriculum.ts';
import { kernelFlops } from './kernel-profile.ts';
import { slope } from './memory.ts';
import { benchOps, opsTable } from './ops.ts';
import { figure, markdownTable, saveResults } from './report.ts';
import { loadedLibrary } from './resident-memory.ts';
import { pairedRatio, quantile, timeInRounds } from './rounds.ts';
import { stepFlops } from './step-flops.ts';
import { writeSetup } from './step-setup.ts';
import { makeStepper } from './stepper.ts';
import { checkLosses } from './train-step.ts';

const noAddon = findAddon().addon === null;
const skipNote = noAddon ? ' (skipped: the native addon is not built)' : '';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'diffmavil-bench-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(process.platform !== 'linux')('the libraries of a process', () => {
  it('are found by a part of their names', () => {
    expect(loadedLibrary('libc.so')).toMatch(/^\/.*libc\.so/);
    expect(loadedLibrary('no-such-library')).toBeNull();
  });
});

describe('rounds', () => {
  it('give every candidate its turn in each round, and stop one that is over its budget', async () => {
    const turns: string[] = [];
    const candidate = (name: string): { name: string; run: () => void } => ({
      name,
      run: () => void turns.push(name),
    });
    const sampling = { rounds: 3, minTurnMs: 0, budgetMs: -1, minRounds: 2 };
    const timings = await timeInRounds([candidate('a'), candidate('b')], sampling);
    expect(turns.join('')).toBe('aabbabab'); // two warm-ups each, then two rounds of three
    expect(timings.map(({ samplesMs }) => samplesMs.length)).toEqual([2, 2]);
  });

  it('compare within a round, so that drift cancels', () => {
    expect(pairedRatio([1, 2, 4], [3, 6, 12])).toBe(3);
    expect(pairedRatio([1, 2, 4], [3])).toBe(3);
    expect(quantile([4, 1, 3, 2], 0.25)).toBe(1.75);
  });
});

describe('figures', () => {
  it('have three digits and line up', () => {
    expect([1234.5, 12.345, 0.012345, 0, null].map((x) => figure(x))).toEqual([
      '1235',
      '12.3',
      '0.0123',
      '0.00000',
      '–',
    ]);
    expect(markdownTable(['op', 'ms'], [['gelu', '1.5']])).toBe(
      '| op   |  ms |\n| ---- | --: |\n| gelu | 1.5 |',
    );
  });

  it('are saved under the day and never overwritten', () => {
    const results = { date: '2026-01-02T03:04:05Z', value: 1 };
    expect(saveResults(folder, 'x', results)).toBe(join(folder, '2026-01-02-x.json'));
    const second = saveResults(folder, 'x', results);
    expect(second).toBe(join(folder, '2026-01-02-x-2.json'));
    expect(JSON.parse(readFileSync(second, 'utf8'))).toEqual(results);
  });

  it('know the floor: arithmetic at peak or memory at bandwidth', () => {
    const ceilings = {
      threads: 1,
      float32GflopPerS: 100,
      bfloat16GflopPerS: 200,
      triadGBPerS: 10,
    };
    expect(floorMs({ flops: 1e9, bytes: 1e6 }, ceilings, 'float32')).toBe(10);
    expect(floorMs({ flops: 1e9, bytes: 1e6 }, ceilings, 'bfloat16')).toBe(5);
    expect(floorMs({ flops: 0, bytes: 1e6 }, ceilings, 'float32')).toBe(0.1);
    expect(floorMs({ flops: 1e9, bytes: 1e6 }, null, 'float32')).toBeNull();
  });

  it('see growth of memory', () => {
    expect(slope([1, 2, 3].map((x) => [x, 5 * x + 7]))).toBeCloseTo(5, 12);
    expect(slope([[1, 3]])).toBe(0);
  });

  it('refuse to compare sides whose losses differ', () => {
    const ours = { side: 'ours', losses: [1, 0.5] };
    expect(() => checkLosses([ours, { side: 'theirs', losses: [1.0002, 0.5] }], 'float32')).toThrow(
      'theirs: expected the loss 1 of ours at step 0 within 0.0001, got 1.0002',
    );
    checkLosses([ours, { side: 'theirs', losses: [1.00009, 0.5004] }], 'float32');
    checkLosses([ours, { side: 'theirs', losses: [1.01, 0.505] }], 'bfloat16');
  });

  it('count the products of a kernel by its shapes', () => {
    const a = { shape: [2, 3, 4] };
    expect(kernelFlops('BatchMatMul', { a, b: { shape: [2, 5, 4] } }, { transposeB: true })).toBe(
      2 * 2 * 3 * 4 * 5,
    );
    expect(kernelFlops('Add', { a, b: a }, {})).toBe(0);
  });
});

describe.skipIf(noAddon)(`the harness on diffmavil-cpu${skipNote}`, () => {
  it('steps a model whose kernels do the arithmetic that is counted for a step', async () => {
    await useBackend('diffmavil-cpu', 2);
    const setup = { config: presets.tiny, batch: 2, maskRatio: 0.8, seed: 1 };
    const files = join(folder, 'tiny');
    await writeSetup(files, setup);
    const stepper = makeStepper(files, setup, 'float32');
    const { losses } = await stepper.run(2);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses[1]).toBeLessThan(losses[0]!); // the same batch again

    const { kernels, stepMs } = await stepper.profile(1);
    const products = kernels.filter(({ kernel }) =>
      /^Dm((Diffused)?Linear|Mlp|Attention|InfoNce)/.test(kernel),
    );
    const flops = products.reduce((sum, time) => sum + time.flops, 0);
    expect(flops).toBe(stepFlops(setup.config, 2, 0.8));
    expect(kernels.reduce((sum, { ms }) => sum + ms, 0)).toBeLessThan(stepMs);
    stepper.dispose();
    expect(Object.hasOwn(tf.engine(), 'runKernel')).toBe(false); // no wrapper is left behind
  });

  it('trains the rows of the paper on the same clips, with the batches of each', async () => {
    await useBackend('diffmavil-cpu', 2);
    const before = tf.memory().numTensors;
    const results = await benchCurriculum({
      model: presets.tiny,
      epochs: 2,
      clipsPerEpoch: 4,
      batch: 2,
      rounds: 1,
      log: () => {},
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(results.map(({ row, clips }) => [row, clips])).toEqual([
      ['paper-r1', 8],
      ['paper-r2', 8],
      ['paper-r3', 8],
      ['paper-r4', 8],
    ]);
    // R4: one step of 4 clips at ratio 0.9, two of 2 at 0.8.
    expect(results.map(({ steps }) => steps)).toEqual([4, 4, 4, 3]);
    const [r1, r2, r3, r4] = results.map(({ flopsRatio }) => flopsRatio);
    expect(r1).toBe(1);
    expect(r2).toBeLessThan(1);
    expect(r3).toBeLessThan(r2!);
    expect(Math.abs(r4! / r3! - 1)).toBeLessThan(1e-3); // but for contrast over more clips
    const table = curriculumTable(results).split('\n');
    expect(table).toHaveLength(6);
    expect(table[5]).toMatch(/^\| R4 +\| +3 \|.* 0\.82 \|.* 0\.68 \|$/);
  });

  it('has the costs of the paper in the model of the curriculum', () => {
    const macs = (videoAttention: 'self' | 'cross', ratio: number): number => {
      const decoder = { ...quarterModel.decoder, videoAttention };
      return countMacs(defineModel({ ...quarterModel, decoder }), ratio).total;
    };
    const base = macs('self', 0.8);
    // Table 5's R2 over R1 is .814, R3 .682: close, as tokens and widths shrink alike.
    expect(macs('cross', 0.8) / base).toBeCloseTo(0.81, 1);
    expect(macs('cross', 0.85) / base).toBeCloseTo(0.68, 1);
  });

  it('times ops', async () => {
    const results = await benchOps({
      backends: ['diffmavil-cpu'],
      threads: 2,
      sampling: { rounds: 1, minTurnMs: 0, budgetMs: 1, minRounds: 1 },
      capMs: 1e9,
      share: 1 / 64,
      only: 'layer norm',
      ceilings: null,
      log: () => {},
    });
    expect(results.map(({ phase, ratio, share }) => [phase, ratio, share])).toEqual([
      ['forward', 1, 1 / 64],
      ['forward + backward', 1, 1 / 64],
      // From memory.
      ['forward', 1, 1 / 64],
      ['backward', 1, 1 / 64],
    ]);
    expect(opsTable(results, null).split('\n')).toHaveLength(6);
  });
});
