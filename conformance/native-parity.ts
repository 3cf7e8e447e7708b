// SPDX-License-Identifier: Apache-2.0
// Parity of a backend of ours with PyTorch: the cases of trace.test.ts and family.test.ts in float32 at the same bounds, and in bfloat16
// at those of bfloat16-comparison.ts.
import { delegatedKernels, resetDelegatedKernels } from '@diffmavil/native';
import { expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { runBfloat16Case } from './bfloat16-comparison.ts';
import { runClassifier, runTeacher } from './family-comparison.ts';
import { expectInTable } from './parity-table.ts';
import type { Target } from './targets.ts';
import {
  caseNames,
  familyFolder,
  familyNames,
  namesIn,
  readCase,
  report,
  runCase,
} from './trace-comparison.ts';

const names = [...caseNames, ...familyNames];
/** Declares the tests, of one backend a process. */
export function describeParity({ name: backendName, register, missing }: Target): void {
  const note = missing === null ? '' : ` (skipped: ${missing})`;

  describe.skipIf(missing !== null)(`one training step on ${backendName}${note}`, () => {
    beforeAll(async () => {
      tf.env().set('IS_TEST', true);
      register();
      await tf.setBackend(backendName);
    });

    it.each(names)('agrees with PyTorch and delegates no kernel: %s', async (name) => {
      resetDelegatedKernels();
      const rows = await expectNoLeak(() => runCase(readCase(name)));
      expect(report(rows)).toBe('');
      expect(delegatedKernels()).toEqual({});
      expectInTable(name, backendName, rows);
    });

    it.each(namesIn(familyFolder, 'teacher'))('teaches what PyTorch does: %s', async (name) => {
      const rows = await expectNoLeak(() => runTeacher(name));
      expect(report(rows)).toBe('');
      expectInTable(`teacher-${name}`, backendName, rows);
    });

    it.each(namesIn(familyFolder, 'classifier'))('classifies as PyTorch does: %s', async (name) => {
      const rows = await expectNoLeak(() => runClassifier(name));
      expect(report(rows)).toBe('');
      expectInTable(`classifier-${name}`, backendName, rows);
    });

    it.each(names)('agrees with PyTorch in bfloat16: %s', async (name) => {
      const rows = await runBfloat16Case(readCase(name));
      expect(report(rows)).toBe('');
    });
  });
}
