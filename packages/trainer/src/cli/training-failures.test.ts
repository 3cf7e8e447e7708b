// SPDX-License-Identifier: Apache-2.0
// Every way that training by the command line can go wrong.
import { cpSync, existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  clips,
  diffmavil,
  exactly,
  expectSentence,
  makeClips,
  pretrainArguments,
  succeed,
  work,
} from './test-command-line.ts';

const run = join(work, 'run');

beforeAll(async () => {
  await makeClips();
  await succeed(...pretrainArguments(run));
}, 240_000);

describe('what goes wrong', () => {
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
      `teacher=${run}`,
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
