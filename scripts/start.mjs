// SPDX-License-Identifier: Apache-2.0
// `npm start`: the main job, start to finish, on clips made from nothing. Every stage is a command of `diffmavil`, shown as it is run,
// so that each can be repeated by hand on other clips. Runs are resumed, so starting again after an interruption loses nothing and
// starting again after the end only shows the result; `npm start -- --fresh` begins anew. Without the native backend the model is smaller;
// `npm start -- --fresh --backend cpu` shows that.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';

// What five minutes on two cores allow, with and without the native backend.
const jobs = {
  'diffmavil-cpu': { configs: 'examples/configs/quickstart-native', clips: 220 },
  cpu: { configs: 'examples/configs/quickstart', clips: 160 },
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const data = 'data/demo';
const cache = '.cache/clips';
const out = 'runs/quickstart';

const { values: options } = parseArgs({
  options: {
    fresh: { type: 'boolean', default: false },
    backend: { type: 'string' },
  },
});
process.chdir(root);
await setup({
  native: (options.backend ?? 'diffmavil-cpu') === 'diffmavil-cpu',
  nativeTests: false,
});
const backend = options.backend ?? (await bestBackend());
if (options.fresh) rmSync(out, { recursive: true, force: true });

const { configs, clips } = jobs[backend] ?? jobs.cpu;
const pretrainConfig = `${configs}-pretrain.json`;

const seconds = {};
const model = join(out, 'pretrain');
const common = ['--backend', backend];
const cached = ['--set', `data.cacheFolder=${cache}`];
const evaluation = [
  '--data',
  data,
  '--splits',
  'test',
  '--max-seconds',
  '6',
  '--cache',
  cache,
  '--json',
  ...common,
];

await stage('demo clips', 'demo-data', '--out', data, '--clips', String(clips));
await stage(
  'pre-training',
  'pretrain',
  '--config',
  pretrainConfig,
  '--data',
  data,
  '--out',
  model,
  ...resume(model),
  ...cached,
  ...common,
);
const classifiers = { 'pre-trained': 'finetune', 'from scratch': 'scratch' };
for (const [name, folder] of Object.entries(classifiers)) {
  const run = join(out, folder);
  const init =
    folder === 'scratch'
      ? [
          'scratch',
          '--set',
          `model=${scratchModel()}`,
          '--set',
          `data.audioStatistics=${statistics()}`,
        ]
      : [model];
  await stage(
    `fine-tuning, ${name}`,
    'finetune',
    '--init',
    ...init,
    '--recipe',
    `${configs}-finetune.json`,
    '--data',
    data,
    '--out',
    run,
    ...resume(run),
    ...cached,
    ...common,
  );
}
const accuracy = {};
for (const [name, folder] of Object.entries(classifiers)) {
  accuracy[name] = JSON.parse(
    await stage('evaluation', 'evaluate', '--model', join(out, folder), ...evaluation),
  );
}
const retrieval = JSON.parse(await stage('retrieval', 'retrieve', '--model', model, ...evaluation));
const picture = join(model, 'pictures', 'reconstruction.png');
mkdirSync(dirname(picture), { recursive: true });
await stage('picture', 'reconstruct', '--model', model, heldOutClip(), '--out', picture, ...common);

for (const [name, folder] of Object.entries(classifiers)) keepEvaluation(folder, accuracy[name]);
keepEvaluation('pretrain', retrieval);
const summary = summarize();
writeFileSync(join(out, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
await stage('report', 'report', out);
print(summary);

/** Runs one command, its progress on the terminal; returns what it printed. */
async function stage(name, ...args) {
  const startMs = performance.now();
  process.stderr.write(
    `\n$ diffmavil ${args.map((arg) => (/[\s"{]/.test(arg) ? `'${arg}'` : arg)).join(' ')}\n`,
  );
  const child = spawn(process.execPath, ['packages/trainer/bin/diffmavil.js', ...args], {
    stdio: ['inherit', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
    if (!args.includes('--json')) process.stderr.write(chunk);
  });
  const code = await new Promise((resolve) =>
    child.on('close', (exit, signal) => resolve(exit ?? signal)),
  );
  if (code !== 0) {
    process.stderr.write(
      `\nnpm start: ${name} ended with ${code}. Try: npm start again to go on, or npm start -- --fresh to begin anew\n`,
    );
    process.exit(1);
  }
  seconds[name] = (seconds[name] ?? 0) + (performance.now() - startMs) / 1000;
  return printed;
}

/** The native backend if it was built. */
async function bestBackend() {
  const { findAddon } = await import('@diffmavil/native'); // what set-up has just built
  return findAddon().addon === null ? 'cpu' : 'diffmavil-cpu';
}

function resume(run) {
  return existsSync(join(run, 'config.json')) ? ['--resume'] : [];
}

function runConfig() {
  return JSON.parse(readFileSync(pretrainConfig, 'utf8'));
}

/** The same architecture as the pre-trained model's. */
function scratchModel() {
  return JSON.stringify(runConfig().model);
}

/** The same spectrogram statistics, so that the two classifiers differ in their weights only. */
function statistics() {
  const { mean, std } = JSON.parse(readFileSync(join(model, 'preprocessor.json'), 'utf8')).audio;
  return JSON.stringify({ mean, std });
}

function heldOutClip() {
  const rows = readFileSync(join(data, 'labels.csv'), 'utf8').trim().split('\n').slice(1);
  return join(data, rows.find((row) => row.endsWith(',test')).split(',')[0]);
}

/** Where the report looks for the figures of a run. */
function keepEvaluation(run, figures) {
  writeFileSync(join(out, run, 'evaluation.json'), `${JSON.stringify(figures)}\n`);
}

function summarize() {
  const losses = readFileSync(join(model, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'step')
    .map(({ loss }) => loss);
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const chance = 1 / accuracy['pre-trained'].labels.length;
  return {
    title: 'Quickstart',
    columns: ['what', 'figure', 'compare'],
    rows: [
      [
        'pre-training loss, first -> last',
        `${losses[0].toFixed(3)} -> ${losses.at(-1).toFixed(3)}`,
        `${losses.length} steps`,
      ],
      [
        'sound class, pre-trained',
        percent(accuracy['pre-trained'].top1),
        `from scratch ${percent(accuracy['from scratch'].top1)}, chance ${percent(chance)}`,
      ],
      [
        'audio finds its video, R@1',
        percent(retrieval.recallAt1),
        `chance ${percent(retrieval.chance)}`,
      ],
      [
        'audio finds its video, R@10',
        percent(retrieval.recallAt10),
        `chance ${percent(Math.min(1, 10 * retrieval.chance))}`,
      ],
      ...Object.entries(seconds).map(([name, value]) => [name, `${value.toFixed(0)} s`, '']),
    ],
    notes: [`${retrieval.clips} held-out clips; backend ${backend}; every number is of this run.`],
  };
}

function print({ columns, rows, notes }) {
  const all = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const line = (row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('   ')
      .trimEnd();
  process.stdout.write(
    `\n${line(columns)}\n${widths.map((width) => '-'.repeat(width)).join('   ')}\n${rows.map(line).join('\n')}\n\n`,
  );
  process.stdout.write(
    `${notes.join('\n')}\nOpen ${join(out, 'report.html')} for curves and pictures.\n`,
  );
}
