// SPDX-License-Identifier: Apache-2.0
// Worker threads load the addon, leave buffers behind and end, in a process whose main thread never loads it: the case in which Node
// would unload an addon while its threads and finalizers are still due.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { findAddon } from './loader.ts';
import { noAddon, skipNote } from './test-native.ts';

const rounds = 5;

const worker = `
  const { workerData, parentPort } = require('node:worker_threads');
  const addon = require(workerData);
  addon.setThreads(3);
  const count = 1_000_000;
  const [x, y] = [addon.allocate(4 * count), addon.allocate(4 * count)];
  addon.write(x, new Float32Array(count).fill(3));
  for (let i = 0; i < 20; i++) addon.run(addon.opId('Square'), [x, y], Float64Array.of(count));
  const values = new Float32Array(count);
  addon.read(y, values);
  parentPort.postMessage(values.every((value) => value === 9));
`;

const program = `
  const { Worker } = require('node:worker_threads');
  const [place, worker, rounds] = process.argv.slice(1);
  const start = () => new Promise((resolve, reject) => {
    let right = false;
    new Worker(worker, { eval: true, workerData: place })
      .on('message', (value) => { right = value; })
      .on('error', reject)
      .on('exit', (code) => resolve(right && code === 0));
  });
  (async () => {
    for (let round = 0; round < Number(rounds); round++) {
      console.log((await Promise.all([start(), start()])).join(' '));
    }
  })();
`;

describe.skipIf(noAddon)(`worker threads${skipNote}`, () => {
  it('load the addon, compute at the same time and end, five times over', async () => {
    const place = findAddon().place ?? '';
    const args = ['-e', program, place, worker, String(rounds)];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
    expect(stderr).toBe('');
    expect(stdout).toBe('true true\n'.repeat(rounds));
  });
});
