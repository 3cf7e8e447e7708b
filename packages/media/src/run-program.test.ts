// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';

import { MediaError } from './media-error.ts';
import { runProgram } from './run-program.ts';

const node = process.execPath;

describe('runProgram', () => {
  it('moves bytes in and out by numbered pipes and counts lines of stderr', async () => {
    const script = `
      const fs = require('node:fs');
      const input = fs.readFileSync(4);
      fs.writeSync(3, input); fs.writeSync(1, 'out');
      process.stderr.write('one\\ntwo\\nthree');
      process.exitCode = 5;`;
    const got: Record<number, string> = { 1: '', 3: '' };
    const take = (fd: 1 | 3) => (chunk: Buffer) => {
      got[fd] += chunk.toString();
      return true;
    };
    const end = await runProgram(node, ['-e', script], {
      outputs: [
        { fd: 1, accept: take(1) },
        { fd: 3, accept: take(3) },
      ],
      inputs: [{ fd: 4, bytes: Buffer.from('in') }],
      timeoutMs: 20_000,
    });
    expect(got).toEqual({ 1: 'out', 3: 'in' });
    expect(end).toEqual({
      exitCode: 5,
      foreignSignal: null,
      stopped: null,
      errorLines: 3,
      errorText: 'one\ntwo\nthree',
    });
  });

  it('stops a process that writes more than is wanted', async () => {
    let bytes = 0;
    const end = await runProgram('yes', [], {
      outputs: [{ fd: 1, accept: (chunk) => (bytes += chunk.length) < 100_000 }],
      timeoutMs: 20_000,
    });
    expect(end.stopped).toBe('enough');
    expect(bytes).toBeLessThan(400_000);
  });

  it('does not wait for a grandchild that holds the pipes after a timeout', async () => {
    const started = performance.now();
    const end = await runProgram('sh', ['-c', 'sleep 30 & wait'], {
      outputs: [{ fd: 1, accept: () => true }],
      timeoutMs: 200,
    });
    expect(end.stopped).toBe('timeout');
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('reports a signal that somebody else sent', async () => {
    const end = await runProgram('sh', ['-c', 'kill -9 $$'], { timeoutMs: 20_000 });
    expect(end).toMatchObject({ stopped: null, foreignSignal: 'SIGKILL', exitCode: null });
  });

  it.skipIf(process.platform !== 'linux')(
    'gives the child a process group of its own',
    async () => {
      let text = '';
      const accept = (chunk: Buffer): boolean => (text += chunk.toString()) !== '';
      await runProgram('sh', ['-c', 'echo $$; cut -d" " -f5 /proc/$$/stat'], {
        outputs: [{ fd: 1, accept }],
        timeoutMs: 20_000,
      });
      const [pid, group] = text.trim().split('\n');
      expect(pid).toMatch(/^\d+$/);
      expect(group).toBe(pid); // so that Ctrl-C reaches the caller alone
    },
  );

  it('survives a child that closes its input early', async () => {
    const inputs = [{ fd: 3, bytes: new Uint8Array(10_000_000) }];
    const end = await runProgram('true', [], { inputs, timeoutMs: 20_000 });
    expect(end).toMatchObject({ exitCode: 0, stopped: null });
  });

  it('does not start anything once aborted', async () => {
    const signal = AbortSignal.abort();
    const end = await runProgram('/nowhere/at/all', [], { timeoutMs: 1000, signal });
    expect(end.stopped).toBe('aborted');
  });

  it('says how to get a program that is not there', async () => {
    const run = runProgram('/nowhere/ffmpeg', [], { timeoutMs: 1000 });
    await expect(run).rejects.toThrow(
      new MediaError(
        'ffmpeg-missing',
        '/nowhere/ffmpeg',
        'runProgram: expected to start "/nowhere/ffmpeg", got ENOENT. ' +
          'Try: apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path.',
      ),
    );
  });
});
