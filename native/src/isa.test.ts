// SPDX-License-Identifier: Apache-2.0
// Each instruction set that the processor has, in a process of its own that is held to it.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadAddon } from './loader.ts';
import { noAddon, skipNote } from './test-native.ts';

const sets = ['baseline', 'avx2', 'avx512', 'avx512bf16'] as const;

/** The best that this process may use. */
const best = noAddon ? -1 : sets.indexOf(loadAddon().isa);

interface Report {
  readonly isa: string;
  readonly cases: number;
  readonly failures: readonly string[];
}

async function reportOf(isa: string): Promise<Report> {
  const program = fileURLToPath(new URL('./test-isa.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=diffmavil-source', '--import', 'tsx', program],
    {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...process.env, DIFFMAVIL_CPU_ISA: isa, DIFFMAVIL_THREADS: '2' },
    },
  );
  return JSON.parse(stdout) as Report;
}

describe.skipIf(noAddon)(`instruction sets${skipNote}`, () => {
  for (const [i, isa] of sets.entries()) {
    const lacking = i > best && best >= 0;
    const note = lacking ? ` (skipped: the processor lacks ${isa})` : '';
    it.skipIf(lacking)(`${isa} agrees with the references${note}`, async () => {
      const { cases, ...report } = await reportOf(isa);
      expect(report).toEqual({ isa, failures: [] });
      expect(cases).toBeGreaterThan(100);
    });
  }
});
