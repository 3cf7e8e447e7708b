// SPDX-License-Identifier: Apache-2.0
// The command line as its user meets it, on a few demo clips: train, kill, resume, fine-tune, evaluate, embed and retrieve.
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { readSafetensors } from '@diffmavil/model';
import { beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from '../json-lines.ts';
import {
  bin,
  cache,
  clips,
  diffmavil,
  expectSentence,
  makeClips,
  pretrainArguments,
  succeed,
  work,
} from './test-command-line.ts';

const weightsOf = (run: string): Buffer => readFileSync(join(run, 'model/model.safetensors'));
const evaluationArguments = ['--data', clips, '--cache', cache, '--backend', 'cpu'];
const stepsOf = (run: string): number =>
  readRecords(join(run, 'log.jsonl')).filter(({ event }) => event === 'step').length;

beforeAll(makeClips, 120_000);

describe('training', () => {
  const run = join(work, 'run');

  it('pre-trains, logs every step and writes a model folder', async () => {
    const { code, out } = await diffmavil(...pretrainArguments(run));
    expect(code).toBe(0);
    // 20 clips; batches of 4, 2 (floor of 2 * 0.2 / 0.15) and 2 clips at ratios 0.9, 0.85 and 0.8.
    expect(stepsOf(run)).toBe(5 + 10 + 10);
    expect(out).toMatch(/: 25 steps, loss \d+\.\d{4} -> \d+\.\d{4}\n/);
    expect(readdirSync(join(run, 'checkpoints'))).toEqual(['step-000024', 'step-000025']);
    expect(readdirSync(join(run, 'model')).toSorted()).toEqual([
      'config.json',
      'model.safetensors',
      'preprocessor.json',
    ]);
  }, 120_000);

  it('goes on after kill -9 to the same weights, bit for bit, as the unbroken run', async () => {
    const killed = join(work, 'killed');
    const child = spawn(process.execPath, [bin, ...pretrainArguments(killed)], { stdio: 'ignore' });
    const log = join(killed, 'log.jsonl');
    while (!(existsSync(log) && stepsOf(killed) >= 9) && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    expect(existsSync(join(killed, 'model'))).toBe(false);
    const stepsBefore = stepsOf(killed);

    const { code } = await diffmavil(...pretrainArguments(killed), '--resume');
    expect(code).toBe(0);
    expect(stepsBefore).toBeLessThan(25);
    expect(weightsOf(killed).equals(weightsOf(run))).toBe(true);
    const losses = (folder: string): unknown[] =>
      readRecords(join(folder, 'log.jsonl'))
        .filter(({ event }) => event === 'step')
        .map(({ step, loss }) => [step, loss]);
    expect(losses(killed)).toEqual(losses(run));
  }, 240_000);

  it('fine-tunes from the run and from scratch, evaluates, embeds and retrieves', async () => {
    const tuned = join(work, 'tuned');
    const settings = [
      'epochs=1',
      'batch.size=4',
      `data.cacheFolder=${cache}`,
      'data.trainSplits=["train"]',
      'optimizer.learningRate=1e-3',
      `data.cacheFolder=${cache}`,
    ].flatMap((setting) => ['--set', setting]);
    const recipe = ['--recipe', 'esc-50', '--data', clips, '--backend', 'cpu', ...settings];
    expect((await diffmavil('finetune', '--init', run, ...recipe, '--out', tuned)).code).toBe(0);
    const scratch = await diffmavil(
      'finetune',
      '--init',
      'scratch',
      ...recipe,
      '--set',
      'model=tiny',
      '--out',
      join(work, 'scratch'),
    );
    expect(scratch.code).toBe(0);

    const evaluated = await diffmavil(
      'evaluate',
      '--model',
      tuned,
      '--splits',
      'test',
      '--json',
      ...evaluationArguments,
    );
    const figures = JSON.parse(evaluated.out) as {
      clips: number;
      labels: string[];
      top1: number;
      top5: number;
    };
    expect(figures.labels).toHaveLength(10);
    expect(figures.top1).toBeLessThanOrEqual(figures.top5);

    const mp4 = readdirSync(clips)
      .filter((name) => name.endsWith('.mp4'))
      .slice(0, 3)
      .map((name) => join(clips, name));
    const file = join(work, 'e.safetensors');
    expect(
      (await diffmavil('embed', '--model', run, ...mp4, '--out', file, '--backend', 'cpu')).code,
    ).toBe(0);
    const embeddings = readSafetensors(readFileSync(file));
    expect(embeddings['audio.embedding']!.shape[0]).toBe(3);
    expect(embeddings['video.embedding']!.shape).toEqual(embeddings['audio.embedding']!.shape);

    const retrieved = await diffmavil('retrieve', '--model', run, '--json', ...evaluationArguments);
    expect(JSON.parse(retrieved.out)).toMatchObject({ clips: 20, chance: 0.05 });
    const matches = await diffmavil(
      'retrieve',
      '--model',
      run,
      '--query',
      mp4[0]!,
      '--top',
      '2',
      ...evaluationArguments,
    );
    expect(matches.out.trim().split('\n')).toHaveLength(2);
  }, 240_000);

  it('fine-tunes a classifier of sound and pictures, evaluates windows, embeds and reports', async () => {
    const settings = (...given: string[]): string[] =>
      ['modality=both', 'epochs=1', 'batch.size=4', `data.cacheFolder=${cache}`, ...given].flatMap(
        (setting) => ['--set', setting],
      );
    const recipe = ['--recipe', 'mavil-as-20k', '--data', clips, '--backend', 'cpu'];
    const single = ['task=single-label', 'optimizer.learningRate=1e-3'];
    const joint = join(work, 'both-joint');
    await succeed('finetune', '--init', run, ...recipe, '--out', joint, ...settings(...single));
    const config = JSON.parse(readFileSync(join(joint, 'model/config.json'), 'utf8')) as {
      fusion: object;
    };
    // Three new blocks [MAViL App. B]; the pre-trained model had one.
    expect(config.fusion).toMatchObject({ kind: 'joint', depth: 3, finalNorm: false });
    const names = Object.keys(readSafetensors(weightsOf(joint)));
    expect(names).toContain('av_head.linear.weight');
    expect(names.some((name) => name.includes('_decoder.'))).toBe(false);

    const bottleneck = join(work, 'both-bottleneck');
    await succeed(
      'finetune',
      '--init',
      run,
      ...recipe,
      '--out',
      bottleneck,
      ...settings(...single, 'fusion.kind=bottleneck', 'mixup=1', 'balancedClasses=true'),
    );
    expect(Object.keys(readSafetensors(weightsOf(bottleneck)))).toContain('fusion.bottleneck');

    const evaluate = async (...more: string[]): Promise<{ top1: number; labels: string[] }> => {
      const outcome = await succeed(
        'evaluate',
        '--model',
        bottleneck,
        '--json',
        ...more,
        ...evaluationArguments,
      );
      return JSON.parse(outcome.out) as { top1: number; labels: string[] };
    };
    const [one, three] = [await evaluate(), await evaluate('--clips', '3')];
    expect([one.labels.length, three.labels.length]).toEqual([10, 10]);
    expect(three).not.toEqual(one);

    const [mp4] = readdirSync(clips).filter((name) => name.endsWith('.mp4'));
    const file = join(work, 'both.safetensors');
    await succeed('embed', '--model', joint, join(clips, mp4!), '--out', file, '--backend', 'cpu');
    expect(readSafetensors(readFileSync(file))['video.embedding']!.shape[0]).toBe(1);
    await succeed('report', joint);
    expect(existsSync(join(joint, 'report.html'))).toBe(true);
  }, 240_000);

  it('teaches a student the features of a frozen run, each modality masked by its own ratio', async () => {
    const student = join(work, 'student');
    const masking = {
      audio: { kind: 'fixed', ratio: 0.7 },
      video: { kind: 'linear', start: 0.9, end: 0.8 },
    };
    const settings = [
      `masking=${JSON.stringify(masking)}`,
      'batch.adaptive=false',
      'model.masked.kind=mask-token',
      'model.targets={"kind":"teacher","width":24}',
      `teacher=${run}`,
      'data.audioStatistics=null',
    ].flatMap((setting) => ['--set', setting]);
    const { code, err } = await diffmavil(...pretrainArguments(student), ...settings);
    expect([code, err.includes('Error')]).toEqual([0, false]);
    const steps = readRecords(join(student, 'log.jsonl')).filter(({ event }) => event === 'step');
    const ratios = steps.map((step) => [step['audioMaskRatio'], step['videoMaskRatio']]);
    expect([ratios[0], ratios.at(-1)]).toEqual([
      [0.7, 0.9],
      [0.7, 0.8],
    ]);
    // A fused token of the teacher is layer-normed at weight 1 and bias 0, up to little training: mean square 1.
    expect(steps[0]?.['audioLoss']).toBeGreaterThan(0.5);
    const { shape } = readSafetensors(weightsOf(student), 'student')['video_decoder.head.weight']!;
    expect(shape).toEqual([24, 16]);
    // Sound is scaled as the teacher's was, not by figures of its own.
    const { audio } = JSON.parse(readFileSync(join(student, 'preprocessor.json'), 'utf8'));
    expect(audio).toEqual({ sampleRate: 16_000, mels: 64, frames: 64, mean: -6, std: 4 });
  }, 120_000);

  it('skips a corrupt clip among good ones, counts it and names it', async () => {
    const data = join(work, 'with-corrupt');
    cpSync(clips, data, { recursive: true });
    const [first] = readdirSync(data).filter((name) => name.endsWith('.mp4'));
    truncateSync(join(data, first!), 3000);
    const corrupt = join(work, 'corrupt-run');
    const { code, out } = await diffmavil(...pretrainArguments(corrupt, data), '--set', 'epochs=1');
    expect(code).toBe(0);
    expect(out).toContain(`1 unreadable clips were left out:\n  ${first}: `);
    expect(
      readRecords(join(corrupt, 'log.jsonl')).filter(({ event }) => event === 'bad-clip'),
    ).toMatchObject([{ clip: first }]);
  }, 120_000);

  it('stops when more clips are unreadable than allowed', async () => {
    const data = join(work, 'mostly-corrupt');
    mkdirSync(data);
    for (const name of ['a.mp4', 'b.mp4', 'c.mp4']) writeFileSync(join(data, name), 'no film');
    const outcome = await diffmavil(...pretrainArguments(join(work, 'bad-run'), data));
    expectSentence(
      outcome,
      /^diffmavil pretrain: data: expected at most 10 % unreadable clips, got 2 of 3, the first [abc]\.mp4: .*maxBadShare$/,
    );
  }, 60_000);
});
