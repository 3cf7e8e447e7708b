// SPDX-License-Identifier: Apache-2.0
// The command line for its tests: a folder for each test file, demo clips, and a small pre-training run of them. Needs the packages built (npm
// test builds them first).
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export const bin = fileURLToPath(new URL('../../bin/diffmavil.js', import.meta.url));
export const work = mkdtempSync(join(tmpdir(), 'diffmavil-cli-'));
export const clips = join(work, 'clips');
export const cache = join(work, 'cache');

interface Outcome {
  readonly code: number | string | null;
  readonly out: string;
  readonly err: string;
}

export function diffmavil(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [bin, ...args], { maxBuffer: 2 ** 26 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), out, err });
    });
  });
}

/** A command that works. */
export async function succeed(...args: string[]): Promise<Outcome> {
  const outcome = await diffmavil(...args);
  if (outcome.code !== 0) throw new Error(`${args.join(' ')}: ${outcome.code}: ${outcome.err}`);
  return outcome;
}

/** A failed command prints one sentence and no stack. */
export function expectSentence({ code, err }: Outcome, sentence: RegExp): void {
  expect(err).not.toMatch(/^\s+at /m);
  expect(err.trimEnd().split('\n').at(-1)).toMatch(sentence);
  expect(code).toBe(1);
}

/** The sentence to the letter. */
export function exactly(sentence: string): RegExp {
  return new RegExp(`^${sentence.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}

export const pretrainArguments = (run: string, data = clips): string[] => [
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

/** Twenty clips of the demo. */
export async function makeClips(): Promise<void> {
  await succeed('demo-data', '--out', clips, '--clips', '20');
}
