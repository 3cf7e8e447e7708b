// SPDX-License-Identifier: Apache-2.0
// Training on a GPU, the emulated one, as its user starts it: no kernel leaves the device, and runs repeat bit for bit. Needs the packages
// built (npm test builds them first).
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findCuda } from '@diffmavil/native';
import { emulateCuda } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from '../json-lines.ts';

emulateCuda();
const noDevice = findCuda().devices === 0;
const skipNote = noDevice ? ' (skipped: the emulated device is not built)' : '';

const bin = fileURLToPath(new URL('../../bin/diffmavil.js', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'diffmavil-cuda-'));
const clips = join(work, 'clips');

async function diffmavil(...args: string[]): Promise<string> {
  const env = { ...process.env, DIFFMAVIL_STRICT: '1' };
  const { stdout } = await promisify(execFile)(process.execPath, [bin, ...args], { env });
  return stdout;
}

async function pretrain(name: string, backend: string, ...more: string[]): Promise<string> {
  const run = join(work, name);
  const settings = [
    'epochs=2',
    'batch.size=2',
    'checkpointSteps=3',
    'data.audioStatistics={"mean":-6,"std":4}',
    `data.cacheFolder=${join(work, 'cache')}`,
  ].flatMap((setting) => ['--set', setting]);
  const place = ['--data', clips, '--out', run, '--backend', backend];
  await diffmavil('pretrain', '--config', 'tiny', ...place, ...settings, ...more);
  return run;
}

const weightsOf = (run: string): Buffer => readFileSync(join(run, 'model/model.safetensors'));
const lossesOf = (run: string): number[] =>
  readRecords(join(run, 'log.jsonl'))
    .filter(({ event }) => event === 'step')
    .map(({ loss }) => loss as number);

const choicesOf = (run: string): unknown[] =>
  readRecords(join(run, 'log.jsonl')).filter(({ event }) => event === 'graphs');

async function withoutGraphs<T>(f: () => Promise<T>): Promise<T> {
  process.env['DIFFMAVIL_CUDA_GRAPHS'] = 'off';
  try {
    return await f();
  } finally {
    delete process.env['DIFFMAVIL_CUDA_GRAPHS'];
  }
}

/** Seven steps op by op, three until one is recorded, seven replayed, and what all of them gave is what op by op gives. */
function expectTimedAndEqual(graphs: string, plain: string): void {
  expect(choicesOf(graphs)).toEqual([
    {
      event: 'graphs',
      step: 17,
      plainMs: expect.any(Number) as number,
      replayedMs: expect.any(Number) as number,
      kept: expect.any(Boolean) as boolean,
    },
  ]);
  expect(choicesOf(plain)).toEqual([]);
  expect(lossesOf(graphs)).toEqual(lossesOf(plain));
  expect(weightsOf(graphs).equals(weightsOf(plain))).toBe(true);
}

describe.skipIf(noDevice)(`training on diffmavil-cuda${skipNote}`, () => {
  let run: string;
  beforeAll(async () => {
    await diffmavil('demo-data', '--out', clips, '--clips', '8');
    run = await pretrain('run', 'diffmavil-cuda');
  }, 120_000);

  it('has the losses of tfjs’s own backend', async () => {
    const plain = lossesOf(await pretrain('plain', 'cpu'));
    const losses = lossesOf(run);
    expect(losses).toHaveLength(8);
    losses.forEach((loss, i) => expect(Math.abs(loss - plain[i]!)).toBeLessThan(1e-4 * plain[i]!));
  });

  it('goes on from a checkpoint to the same weights, bit for bit', async () => {
    const whole = weightsOf(run);
    const checkpoints = join(run, 'checkpoints');
    expect(readdirSync(checkpoints)).toEqual(['step-000006', 'step-000008']);
    for (const place of [join(checkpoints, 'step-000008'), join(run, 'model')]) {
      rmSync(place, { recursive: true });
    }
    await pretrain('run', 'diffmavil-cuda', '--resume');
    expect(weightsOf(run).equals(whole)).toBe(true);
  });

  it('times steps as graphs, and gets the same weights without them', async () => {
    const settings = ['epochs=3', 'batch.size=1', 'masking={"kind":"fixed","ratio":0.9}'];
    for (const part of ['encoder', 'decoder']) settings.push(`model.${part}.depth=1`);
    const more = settings.flatMap((setting) => ['--set', setting]);
    const graphs = await pretrain('graphs', 'diffmavil-cuda', ...more);
    const plain = await withoutGraphs(() => pretrain('plain-steps', 'diffmavil-cuda', ...more));
    expect(lossesOf(graphs)).toHaveLength(24);
    expectTimedAndEqual(graphs, plain);
  }, 240_000);

  it('fine-tunes with steps as graphs, and gets the same weights without them', async () => {
    const settings = [
      'modality=both',
      'task=single-label',
      'epochs=5',
      'batch.size=2',
      'dropPath=0.5',
      'mixup=0.5',
      'masking={"time":0.5,"frequency":0.5,"video":0.8}',
      'fusion={"kind":"joint","depth":1}',
      'optimizer.learningRate=1e-3',
      `data.cacheFolder=${join(work, 'cache')}`,
    ].flatMap((setting) => ['--set', setting]);
    const recipe = ['--recipe', 'mavil-as-20k', '--data', clips, '--backend', 'diffmavil-cuda'];
    const finetune = async (name: string): Promise<string> => {
      const tuned = join(work, name);
      await diffmavil('finetune', '--init', run, ...recipe, '--out', tuned, ...settings);
      return tuned;
    };
    const graphs = await finetune('tuned');
    const plain = await withoutGraphs(() => finetune('tuned-plainly'));
    expect(lossesOf(graphs)).toHaveLength(20);
    expectTimedAndEqual(graphs, plain);
  }, 240_000);

  it('takes 16-bit products', async () => {
    const [whole, half] = [
      run,
      await pretrain('half', 'diffmavil-cuda', '--set', 'precision=bfloat16'),
    ];
    const [first, ...rest] = lossesOf(half).map((loss, i) =>
      Math.abs(loss / lossesOf(whole)[i]! - 1),
    );
    expect(first).toBeGreaterThan(0);
    for (const error of [first!, ...rest]) expect(error).toBeLessThan(1e-2);
  });

  it('embeds clips with what it trained', async () => {
    const out = join(work, 'embeddings.safetensors');
    const files = readdirSync(clips, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.mp4'),
    );
    await diffmavil(
      'embed',
      '--model',
      run,
      join(clips, files[0]!),
      '--out',
      out,
      '--backend',
      'diffmavil-cuda',
    );
    expect(readFileSync(out).length).toBeGreaterThan(100);
  });
});
