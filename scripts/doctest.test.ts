// SPDX-License-Identifier: Apache-2.0
// Every fenced `ts` block of the documentation is a complete program over published entry points. It is compiled and run as a reader would
// run it, in a folder that holds `clip.mp4`, `clips/` and `model/`, a model folder with fresh weights. A block that cannot run is tagged
// `ts no-run` and counted. Needs the packages built (npm test builds them first).
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { filesEnding, tsBlocks, tsBlocksOf } from './doc-blocks.mjs';
import { publicPackages } from './packages.mjs';
import { root } from './stage.mjs';

const run = promisify(execFile);
const folder = join(root, '.cache/doctest');
const cli = join(root, 'packages/trainer/bin/diffmavil.js');

interface Block {
  file: string;
  line: number;
  tag: string;
  code: string;
}

const blocks: Block[] = filesEnding('.md')
  .filter((file: string) =>
    /^(README\.md|packages\/[^/]+\/README\.md|native\/README\.md|docs\/.+)$/.test(file),
  )
  .flatMap(tsBlocksOf);
const programs = blocks
  .filter(({ tag }) => tag === 'ts')
  .map((block) => ({
    ...block,
    where: `${block.file}:${block.line}`,
    path: join(folder, `${block.file.replaceAll(/[/.]/g, '-')}-${block.line}.ts`),
  }));

const tsconfig = {
  extends: '../../tsconfig.base.json',
  compilerOptions: {
    composite: false,
    declaration: false,
    declarationMap: false,
    isolatedDeclarations: false,
    noEmit: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    lib: ['es2023', 'dom'],
  },
  include: ['*.ts'],
};

async function succeed(where: string, program: string, ...args: string[]): Promise<string> {
  try {
    return (await run(process.execPath, [program, ...args], { cwd: folder, timeout: 120_000 }))
      .stdout;
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout: string; stderr: string };
    throw new Error(`${where}\n${stdout}${stderr || message}`, { cause: error });
  }
}

/** Waits until fewer than two runs are going on. */
const twoAtATime = (() => {
  const lanes: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
  let next = 0;
  return <T>(work: () => Promise<T>): Promise<T> => {
    const lane = next++ % lanes.length;
    const turn = lanes[lane].then(work);
    lanes[lane] = turn.catch(() => undefined);
    return turn;
  };
})();

const makeModel = `import '@tensorflow/tfjs-backend-cpu';
import { makeKey } from '@diffmavil/core';
import { defaultPreprocessor, initializeParameters, presets } from '@diffmavil/model';
import { saveModelFolder } from '@diffmavil/model/node';
const config = presets.tiny;
const parameters = initializeParameters(config, makeKey(0));
await saveModelFolder('model', { config, parameters, preprocessor: defaultPreprocessor(config) });
`;

beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { path, code } of programs) writeFileSync(path, code);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
  writeFileSync(join(folder, 'make-model.mjs'), makeModel);
  await succeed('demo clips', cli, 'demo-data', '--out', 'clips', '--clips', '4');
  const [clip = 'none'] = readdirSync(join(folder, 'clips')).filter((name) =>
    name.endsWith('.mp4'),
  );
  copyFileSync(join(folder, 'clips', clip), join(folder, 'clip.mp4'));
  await succeed('a model folder', 'make-model.mjs');
}, 120_000);

describe('programs in the documentation', () => {
  it('compile against the published types', async () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    expect(await succeed('tsc', tsc, '-p', '.', '--pretty', 'false')).toBe('');
  });

  for (const { where, path } of programs)
    it.concurrent(`${where} runs`, async () => {
      const tsx = join(root, 'node_modules/tsx/dist/cli.mjs');
      expect(await twoAtATime(() => succeed(where, tsx, path))).not.toBe('');
    }, 600_000);

  it('are in the README of the repository and of every public package', () => {
    const files = new Set(programs.map(({ file }) => file));
    const readmes = ['README.md', ...publicPackages().map((name) => `${name}/README.md`)];
    expect(readmes.filter((file) => !files.has(file))).toEqual([]);
  });

  it.runIf(false).each(blocks.filter(({ tag }) => tag !== 'ts'))(
    "$file:$line runs (skipped: tagged '$tag')",
    ({ tag }) => expect(tag).toBe('ts'),
  );
});

describe('tsBlocks', () => {
  it('takes ts blocks with their line and tag, and leaves other fences alone', () => {
    const fence = '```';
    const text = `a\n${fence}ts\nconst x = 1;\n${fence}\n${fence}sh\n${fence}\n${fence}ts no-run\ny\n${fence}\n${fence}${fence}md\n${fence}ts\n${fence}\n${fence}${fence}\n`;
    expect(tsBlocks(text)).toEqual([
      { line: 2, tag: 'ts', code: 'const x = 1;\n' },
      { line: 7, tag: 'ts no-run', code: 'y\n' },
    ]);
  });
});
