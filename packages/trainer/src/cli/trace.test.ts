// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSafetensors } from '@diffmavil/model';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from './main.ts';

const fixtures = new URL('../../../../conformance/golden/fixtures/diffmavil/', import.meta.url)
  .pathname;
const config = join(fixtures, 'trace-audio-only-diffused.config.json');
const input = join(fixtures, 'trace-audio-only-diffused.in.safetensors');
const folder = mkdtempSync(join(tmpdir(), 'diffmavil-trace-'));
const output = join(folder, 'out.safetensors');
afterAll(() => rmSync(folder, { recursive: true }));

async function trace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(['trace', ...args], {
    stdout: (line) => out.push(line),
    stderr: (line) => err.push(line),
    isTerminal: false,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

describe('diffmavil trace', () => {
  it('writes what PyTorch writes for the same tensors, at the mask ratio of the configuration', async () => {
    const { code, out, err } = await trace(
      '--config',
      config,
      '--in',
      input,
      '--out',
      output,
      '--backend',
      'cpu',
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('computed on cpu in float32');
    const results = readSafetensors(readFileSync(output));
    const expected = readSafetensors(readFileSync(input.replace('.in.', '.out.')));
    expect(Object.keys(results).toSorted()).toEqual(Object.keys(expected).toSorted());
    expect(Number(results['loss']?.data[0])).toBeCloseTo(Number(expected['loss']?.data[0]), 5);
  });

  it('takes another mask ratio, which then needs other noise', async () => {
    const args = [
      '--config',
      config,
      '--in',
      input,
      '--out',
      output,
      '--backend',
      'cpu',
      '--mask-ratio',
      '0.5',
    ];
    const { code, err } = await trace(...args);
    expect(code).toBe(1);
    expect(err).toMatch(/^diffmavil trace: .*noise.*expected \[.*32/);
  });

  it('refuses bad usage with exit code 2', async () => {
    expect(await trace('--config', config, '--in', input)).toMatchObject({
      code: 2,
      err: 'diffmavil trace: expected --out, got none. Try: diffmavil trace --help',
    });
    const args = ['--config', config, '--in', input, '--out', output];
    expect((await trace(...args, '--mask-ratio', '1.5')).err).toContain(
      "--mask-ratio to be a number 0..1, got '1.5'",
    );
    expect((await trace(...args, '--precision', 'half')).err).toContain(
      '--precision to be float32 or bfloat16',
    );
  });

  it('names a file that is missing or no weights', async () => {
    const missing = await trace('--config', 'tiny', '--in', join(folder, 'none'), '--out', output);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(/^diffmavil trace: trace: expected a safetensors file, got ENOENT/);
    const text = join(folder, 'text');
    writeFileSync(text, 'words');
    expect((await trace('--config', 'tiny', '--in', text, '--out', output)).err).toBe(
      `diffmavil trace: safetensors: expected at least 8 bytes in ${text}, got 5`,
    );
  });

  it('refuses a mask ratio that shows or hides everything', async () => {
    const args = ['--config', 'tiny', '--in', input, '--out', output, '--mask-ratio', '1'];
    expect((await trace(...args)).err).toBe(
      'diffmavil trace: trace: expected a mask ratio above 0 and below 1, got 1',
    );
  });
});
