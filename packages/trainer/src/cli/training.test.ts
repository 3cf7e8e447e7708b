// SPDX-License-Identifier: Apache-2.0
// The command line as its user meets it, on a few demo clips: train, kill, resume, fine-tune, evaluate, embed, retrieve, and every way it
// can go wrong. Needs the packages built (npm test builds them first).
import { execFile, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors } from '@diffmavil/model';
import { beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from '../json-lines.ts';

const bin = fileURLToPath(new URL('../../bin/diffmavil.js', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'diffmavil-cli-'));
const clips = join(work, 'clips');
const cache = join(work, 'cache');

interface Outcome {
  readonly code: number | string | null;
  readonly out: string;
  readonly err: string;
}

function diffmavil(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [bin, ...args], { maxBuffer: 2 ** 26 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), out, err });
    });
  });
}

/** A command that works. */
async function succeed(...args: string[]): Promise<Outcome> {
  const outcome = await diffmavil(...args);
  if (outcome.code !== 0) throw new Error(`${args.join(' ')}: ${outcome.code}: ${outcome.err}`);
  return outcome;
}

/** A failed command prints one sentence and no stack. */
function expectSentence({ code, err }: Outcome, sentence: RegExp): void {
  expect(err).not.toMatch(/^\s+at /m);
  expect(err.trimEnd().split('\n').at(-1)).toMatch(sentence);
  expect(code).toBe(1);
}

/** The sentence to the letter. */
function exactly(sentence: string): RegExp {
  return new RegExp(`^${sentence.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}

const pretrainArguments = (run: string, data = clips): string[] => [
  'pretrain',
  '--config',
  'tiny',
  '--data',
  data,
  '--out',
  run,
  '--backend',
  'cpu',
  ...[
    'epochs=3',
    'batch.size=2',
    'batch.adaptive=true',
    'checkpointSteps=2',
    'optimizer.warmupEpochs=0.5',
    'optimizer.learningRate=1e-3',
    'masking={"kind":"linear","start":0.9,"end":0.8}',
    'data.audioStatistics={"mean":-6,"std":4}',
    `data.cacheFolder=${cache}`,
  ].flatMap((setting) => ['--set', setting]),
];

const weightsOf = (run: string): Buffer => readFileSync(join(run, 'model/model.safetensors'));
const evaluationArguments = ['--data', clips, '--cache', cache, '--backend', 'cpu'];
const stepsOf = (run: string): number =>
  readRecords(join(run, 'log.jsonl')).filter(({ event }) => event === 'step').length;

beforeAll(async () => {
  const { code, err } = await diffmavil('demo-data', '--out', clips, '--clips', '20');
  if (code !== 0) throw new Error(err);
}, 120_000);

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

describe('what goes wrong', () => {
  const run = join(work, 'run');

  it('says so in one sentence when there is no data', async () => {
    const empty = join(work, 'empty');
    mkdirSync(empty);
    expectSentence(
      await diffmavil(...pretrainArguments(join(work, 'x1'), empty)),
      exactly(
        `diffmavil pretrain: data: expected at least one clip in ${empty}, got none. Try: diffmavil demo-data --out ${empty}`,
      ),
    );
  });

  it('refuses an output folder that cannot be written', async () => {
    const file = join(work, 'a-file');
    writeFileSync(file, '');
    expectSentence(
      await diffmavil(...pretrainArguments(join(file, 'run'))),
      /^diffmavil pretrain: .*: expected a folder that can be written, got .*Try: another --out$/,
    );
  });

  it('does not write over a run, nor continue it with other settings', async () => {
    expectSentence(
      await diffmavil(...pretrainArguments(run)),
      exactly(
        `diffmavil pretrain: ${run}: expected a new folder, got one that holds a run. Try: --resume to go on with it, or another --out`,
      ),
    );
    expectSentence(
      await diffmavil(...pretrainArguments(run), '--resume', '--set', 'seed=7'),
      exactly(
        `diffmavil pretrain: ${run}: expected the configuration the run was started with, got config.seed 7 instead of 0. Try: the same settings, or another --out`,
      ),
    );
  });

  it('refuses a truncated checkpoint and a truncated model, naming the file', async () => {
    const damaged = join(work, 'damaged');
    cpSync(run, damaged, { recursive: true });
    const weights = join(damaged, 'checkpoints/step-000025/weights.safetensors');
    truncateSync(weights, 1000);
    expectSentence(
      await diffmavil(...pretrainArguments(damaged), '--resume'),
      new RegExp(
        `^diffmavil pretrain: ${weights}: expected a complete checkpoint file, got .*Try: delete .*before it$`,
      ),
    );
    truncateSync(join(damaged, 'model/model.safetensors'), 1000);
    expectSentence(
      await diffmavil('retrieve', '--model', damaged, '--data', clips),
      /^diffmavil retrieve: safetensors: expected .* in .*model\.safetensors, got /,
    );
  });

  it('refuses a teacher that does not fit, and a student without one', async () => {
    const student = ['--set', 'model.targets={"kind":"teacher","width":32}'];
    const alone = await diffmavil(...pretrainArguments(join(work, 'no-teacher')), ...student);
    expectSentence(
      alone,
      /^diffmavil pretrain: run config: teacher: expected a run or model folder, as model\.targets\.kind is 'teacher', got null$/,
    );
    const unfit = await diffmavil(
      ...pretrainArguments(join(work, 'unfit')),
      ...student,
      '--set',
      `teacher=${join(work, 'run')}`,
    );
    expectSentence(
      unfit,
      /^diffmavil pretrain: teacher: expected one that fits the student, got encoder\.width: 24 for targets\.width 32$/,
    );
    expect(existsSync(join(work, 'unfit'))).toBe(false);
  }, 120_000);

  it('refuses masking that some epoch cannot have, before anything is read or written', async () => {
    const masked = join(work, 'masked-too-little');
    const masking = 'masking={"kind":"linear","start":0.9,"end":0.4}';
    expectSentence(
      await diffmavil(...pretrainArguments(masked), '--set', masking),
      /^diffmavil pretrain: run config: masking: audio: expected a mask ratio of at least 0\.5, so that two views of 64 tokens do not overlap, got 0\.4\./,
    );
    expect(existsSync(masked)).toBe(false);
  });

  it('names an unknown config key with the nearest known one', async () => {
    expectSentence(
      await diffmavil(...pretrainArguments(join(work, 'x2')), '--set', 'optimizer.learningrate=1'),
      exactly(
        "diffmavil pretrain: run config: unknown key 'optimizer.learningrate'. Try: 'optimizer.learningRate'",
      ),
    );
  });

  it('answers wrong usage with code 2 and a hint', async () => {
    expect(await diffmavil('pretrian')).toEqual({
      code: 2,
      out: '',
      err: "diffmavil: unknown command 'pretrian'. Try: diffmavil pretrain\n",
    });
    expect(await diffmavil('pretrain', '--dat', 'x')).toEqual({
      code: 2,
      out: '',
      err: 'diffmavil pretrain: unknown option --dat. Try: --data. Try: diffmavil pretrain --help\n',
    });
    expect((await diffmavil('demo-data', '--out', 'x', '--clips', '-3')).code).toBe(2);
    expect((await diffmavil()).code).toBe(2);
  });

  it('does not take another backend in place of one that is not there', async () => {
    expectSentence(
      await diffmavil('retrieve', '--model', run, '--data', clips, '--backend', 'diffmavil-cuda'),
      /^diffmavil retrieve: cuda: expected a GPU, got DIFFMAVIL_CUDA=off/,
    );
  });
});
