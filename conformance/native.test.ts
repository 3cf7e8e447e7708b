// SPDX-License-Identifier: Apache-2.0
// Parity of the native backend with PyTorch: the cases of trace.test.ts in float32 at the same bounds, and in bfloat16 at the bounds of
// 16-bit products: losses 1e-2; all gradients together 3e-2 of their norm.
import {
  backendName,
  delegatedKernels,
  findAddon,
  registerNative,
  resetDelegatedKernels,
} from '@diffmavil/native';
import { expectNoLeak } from '@diffmavil/testkit';
import { traceStep } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { caseNames, readCase, relativeError, report, runCase } from './trace-comparison.ts';

const noAddon = findAddon().addon === null;
const note = noAddon ? ' (skipped: the native addon is not built)' : '';

describe.skipIf(noAddon)(`one training step on diffmavil-cpu${note}`, () => {
  beforeAll(async () => {
    tf.env().set('IS_TEST', true);
    registerNative();
    await tf.setBackend(backendName);
  });

  it.each(caseNames)('agrees with PyTorch and delegates no kernel: %s', async (name) => {
    resetDelegatedKernels();
    const rows = await expectNoLeak(() => runCase(readCase(name)));
    expect(report(rows)).toBe('');
    expect(delegatedKernels()).toEqual({});
  });

  it.each(caseNames)('agrees with PyTorch in bfloat16: %s', async (name) => {
    const { config, maskRatio, tensors, expected } = readCase(name);
    const results = await traceStep({ config, tensors, maskRatio, precision: 'bfloat16' });
    const losses = expected.names.filter((each) => each === 'loss' || each.startsWith('loss.'));
    for (const loss of losses) {
      expect(relativeError(results[loss], expected.get(loss))).toBeLessThanOrEqual(1e-2);
    }
    const gradients = expected.names.filter((each) => each.startsWith('grad.'));
    const joined = (values: (each: string) => ArrayLike<number>): Float32Array =>
      Float32Array.from(gradients.flatMap((each) => Array.from(values(each))));
    const shape = [joined((each) => expected.get(each).data).length];
    const actual = { dtype: 'F32', shape, data: joined((each) => results[each]!.data) } as const;
    const wanted = { shape, data: joined((each) => expected.get(each).data) };
    expect(relativeError(actual, wanted)).toBeLessThanOrEqual(3e-2);
  });
});
