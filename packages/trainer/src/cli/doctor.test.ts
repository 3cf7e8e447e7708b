// SPDX-License-Identifier: Apache-2.0
// On the machine at hand; npm test has installed ffmpeg before.
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../doctor.ts';
import { main } from './main.ts';

async function doctor(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(['doctor', ...args], {
    stdout: (line) => out.push(line),
    stderr: (line) => err.push(line),
    isTerminal: false,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

describe('diffmavil doctor', () => {
  it('prints one marked line per finding', async () => {
    const { code, out, err } = await doctor();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const lines = out.split('\n');
    for (const line of lines) expect(line).toMatch(/^(ok|missing|note) +\S/);
    expect(out).toMatch(/^ok +backend cpu +starts$/m);
    expect(out).toMatch(/^ok +backend wasm +starts$/m);
    expect(out).toContain(`${availableParallelism()} cores`);
  });

  it('gives the same as JSON', async () => {
    const { code, out } = await doctor('--json');
    const { healthy, findings } = JSON.parse(out) as { healthy: boolean; findings: Finding[] };
    expect({ code, healthy }).toEqual({ code: 0, healthy: true });
    expect(findings.find(({ name }) => name === 'node')?.found).toBe(process.versions.node);
    expect(findings.find(({ name }) => name === 'tfjs')?.found).toMatch(/^4\.\d+\.\d+$/);
  });

  it('exits with 1 and says what to do when ffmpeg is missing', async () => {
    const before = process.env['DIFFMAVIL_FFMPEG'];
    process.env['DIFFMAVIL_FFMPEG'] = '/nowhere/ffmpeg';
    try {
      const { code, out } = await doctor();
      expect(code).toBe(1);
      expect(out).toMatch(
        /^missing +ffmpeg +expected an ffmpeg executable, got nothing executable at "\/nowhere\/ffmpeg" \(DIFFMAVIL_FFMPEG\)\. Try: apt install ffmpeg, /m,
      );
    } finally {
      if (before === undefined) delete process.env['DIFFMAVIL_FFMPEG'];
      else process.env['DIFFMAVIL_FFMPEG'] = before;
    }
  });

  it('refuses arguments it does not know', async () => {
    expect(await doctor('--jsn')).toMatchObject({
      code: 2,
      err: 'diffmavil doctor: unknown option --jsn. Try: --json. Try: diffmavil doctor --help',
    });
    expect((await doctor('now')).err).toBe(
      "diffmavil doctor: expected no arguments, got 'now'. Try: diffmavil doctor --help",
    );
  });
});
