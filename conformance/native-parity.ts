// SPDX-License-Identifier: Apache-2.0
// Parity of a backend of ours with PyTorch: the cases of trace.test.ts and family.test.ts in float32 at the same bounds, and in bfloat16
// at the bounds of 16-bit products: losses 1e-2, all gradients together 3e-2 of their norm; or twice what rounding costs PyTorch where
// a tiny model makes more of it (golden/family_bfloat16.py).
import { delegatedKernels, resetDelegatedKernels } from '@diffmavil/native';
import { expectNoLeak, readJsonFixture } from '@diffmavil/testkit';
import { type TracedTensor, traceStep } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { runClassifier, runTeacher } from './family-comparison.ts';
import { expectInTable } from './parity-table.ts';
import type { Target } from './targets.ts';
import {
  caseNames,
  familyFolder,
  familyNames,
  namesIn,
  readCase,
  relativeError,
  report,
  runCase,
} from './trace-comparison.ts';

const names = [...caseNames, ...familyNames];
const rounding = readJsonFixture('family/bfloat16.json') as Readonly<
  Record<string, { readonly loss: number; readonly gradients: number }>
>;

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
      const { config, maskRatio, tensors, expected } = readCase(name);
      const results = await traceStep({ config, tensors, maskRatio, precision: 'bfloat16' });
      const losses = expected.names.filter((each) => each === 'loss' || each.startsWith('loss.'));
      const cost = rounding[name] ?? { loss: 0, gradients: 0 };
      for (const loss of losses) {
        const error = relativeError(results[loss], expected.get(loss));
        expect(error).toBeLessThanOrEqual(Math.max(1e-2, 2 * cost.loss));
      }
      const gradients = expected.names.filter((each) => each.startsWith('grad.'));
      const wanted = joined(gradients.map((each) => expected.get(each).data));
      const actual = joined(gradients.map((each) => results[each]!.data));
      const bound = Math.max(3e-2, 2 * cost.gradients);
      expect(relativeError(actual, wanted)).toBeLessThanOrEqual(bound);
    });
  });
}

/** All values one after another. */
function joined(parts: readonly ArrayLike<number>[]): TracedTensor {
  const data = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { dtype: 'F32', shape: [data.length], data };
}
