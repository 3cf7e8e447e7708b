// SPDX-License-Identifier: Apache-2.0
import { presets } from '@diffmavil/model';
import { describe, expect, it } from 'vitest';
import { command } from './flops.ts';

interface Costs {
  readonly macs: Readonly<Record<string, number>>;
  readonly training: {
    readonly batch: number;
    readonly flops: Readonly<Record<string, number>>;
    readonly bytes: Readonly<Record<string, number>>;
  };
}

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
    expect(table.slice(1, 7).map((line) => line.split(/\s{2,}/)[2])).toEqual(published);
  });

  it('counts a training step for every preset, under both accountings', async () => {
    for (const name of Object.keys(presets)) {
      const [json] = await flops('--config', name, '--batch', '2', '--json');
      const canonical = JSON.parse(json!) as Costs & { exact: Costs };
      for (const { macs, training } of [canonical, canonical.exact]) {
        const { flops: operations, bytes } = training;
        expect(training.batch).toBe(2);
        // Products between embeddings are the only ones that macs leave out: here at most 4 pairs x 3 losses x 768.
        expect(operations.forward! / 4 - macs['total']!).toBeLessThanOrEqual(6 * 768);
        expect(operations.total).toBe(
          operations.forward! + operations.backward! + operations.recomputed!,
        );
        expect(bytes.parameters! + bytes.gradients! + bytes.optimizer!).toBe(4 * bytes.parameters!);
        expect(bytes.total).toBe(4 * bytes.parameters! + bytes.activations!);
      }
    }
  });

  it('prints the step below the modules', async () => {
    const table = await flops('--config', 'tiny', '--batch', '8');
    expect(table.slice(8).map((line) => line.trim().split(/\s{2,}/)[0])).toEqual([
      'step, batch 8',
      'forward',
      'backward',
      'recomputed',
      'total',
      'parameters',
      'gradients',
      'optimizer',
      'activations',
      'total',
    ]);
    expect(table[13]).toMatch(/^parameters +0\.3 MiB +0\.3 MiB$/);
  });

  it('says what it expects when the configuration is not there', async () => {
    await expect(flops('--config', 'paper-r22')).rejects.toThrow(
      /^config: expected a JSON file or one of .*, got paper-r22\. Try: paper-r2$/,
    );
  });
});
