// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { command } from './flops.ts';

async function flops(...args: string[]): Promise<string[]> {
  const lines: string[] = [];
  const context = {
    stdout: (line: string) => lines.push(line),
    stderr: () => {},
    isTerminal: false,
  };
  expect(await command.run(args, context)).toBe(0);
  return lines;
}

describe('diffmavil flops', () => {
  // [DiffMAViL Table 5]: audio encoder, audio decoder, video encoder, video decoder, fusion, total.
  it.each([
    ['paper-r2', ['1.00', '1.00', '0.97', '0.53', '1.00', '0.81']],
    ['paper-r3', ['0.74', '1.00', '0.72', '0.54', '0.74', '0.68']],
  ])('prints the published ratios of %s', async (preset, published) => {
    const [json] = await flops('--config', preset, '--json');
    const { ratios } = JSON.parse(json!) as { ratios: Record<string, number> };
    const names = [
      'audioEncoder',
      'audioDecoder',
      'videoEncoder',
      'videoDecoder',
      'fusion',
      'total',
    ];
    expect(names.map((name) => ratios[name]!.toFixed(2))).toEqual(published);
    const table = await flops('--config', preset);
    expect(table.slice(1).map((line) => line.split(/\s{2,}/)[2])).toEqual(published);
  });

  it('says what it expects when the configuration is not there', async () => {
    await expect(flops('--config', 'paper-r22')).rejects.toThrow(
      /^config: expected a JSON file or one of .*, got paper-r22\. Try: paper-r2$/,
    );
  });
});
