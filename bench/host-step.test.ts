// SPDX-License-Identifier: Apache-2.0
// The harness on the preset `tiny`. It leaves kernels out, so it has a process of its own.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { benchHostStep, hostStepTable } from './host-step.ts';
import { root } from './machine.ts';

const missing = !existsSync(join(root, 'native/build-cuda/libdiffmavil_cuda_emulated.so'));
const note = missing ? ' (skipped: the emulated device is not built)' : '';

describe.skipIf(missing)(`the host's step${note}`, () => {
  it('starts passes and update, and counts kernels', async () => {
    const results = await benchHostStep({
      presets: ['tiny'],
      precisions: ['float32'],
      batch: 2,
      maskRatio: 0.8,
      steps: 8,
      log: () => undefined,
    });
    const [tiny] = results;
    expect(tiny!.kernelCalls).toBeGreaterThan(100);
    for (const ms of [tiny!.passesMs, tiny!.updateMs, tiny!.replayMs])
      expect(ms).toBeGreaterThan(0);
    // One call starts what took hundreds: even in a fourth of the steps that a benchmark makes.
    expect(tiny!.replayMs).toBeLessThan(tiny!.passesMs);
    expect(hostStepTable(results).split('\n')).toHaveLength(3);
  });
});
