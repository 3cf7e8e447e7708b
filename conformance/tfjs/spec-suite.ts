// SPDX-License-Identifier: Apache-2.0
// tfjs-core's own specs on a backend of ours, with no exclusion. A spec that upstream itself skips is the only kind that does not run.
import { delegatedKernels } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Target } from '../targets.ts';
import { bundleSpecs } from './bundle-specs.ts';
import { runSpecs } from './run-specs.ts';
import type { SpecResult } from './run-specs.ts';

/** tfjs-core 4.22 has 4,230 specs for a backend not named 'cpu', of which 5 are marked as skipped upstream. */
const fewestSpecs = 4200;
const skippedUpstream = 5;

/** Declares the tests. One backend a process: specs and backend are global to it. */
export function describeSpecs({ name, register, missing }: Target): void {
  const skipNote = missing === null ? '' : ` (skipped: ${missing})`;
  describe.skipIf(missing !== null)(`tfjs-core's specs on ${name}${skipNote}`, () => {
    let results: readonly SpecResult[] = [];

    beforeAll(async () => {
      tf.env().set('IS_TEST', true);
      register();
      results = await runSpecs(await bundleSpecs(name));
      const counts = Object.entries(delegatedKernels()).sort(([, a], [, b]) => b - a);
      process.stdout.write(
        `conformance of ${name}: ${count(results, 'passed')} passed, ${count(results, 'failed')} failed, ` +
          `${count(results, 'pending')} skipped upstream; ${counts.length} kernels delegated\n`,
      );
    }, 120_000);

    it('passes every spec that runs', () => {
      const failures = results
        .filter(({ status }) => status === 'failed')
        .map((spec) => `${spec.fullName}: ${spec.failedExpectations[0]?.message ?? ''}`);
      expect(failures).toEqual([]);
    });

    it(`runs at least ${fewestSpecs} specs`, () => {
      expect(count(results, 'passed')).toBeGreaterThanOrEqual(fewestSpecs);
    });

    it('skips none but those that upstream skips', () => {
      expect(count(results, 'excluded')).toBe(0);
      expect(count(results, 'pending')).toBeLessThanOrEqual(skippedUpstream);
    });
  });
}

function count(results: readonly SpecResult[], status: SpecResult['status']): number {
  return results.filter((result) => result.status === status).length;
}
