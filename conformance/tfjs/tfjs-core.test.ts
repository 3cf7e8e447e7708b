// SPDX-License-Identifier: Apache-2.0
// tfjs-core's own specs on our backend, with no exclusion. A spec that upstream itself skips is the only kind that does not run.
import { delegatedKernels, findAddon, backendName, registerNative } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleSpecs } from './bundle-specs.ts';
import { runSpecs } from './run-specs.ts';
import type { SpecResult } from './run-specs.ts';

/** tfjs-core 4.22 has 4,230 specs for a backend not named 'cpu', of which 5 are marked as skipped upstream. */
const fewestSpecs = 4200;
const skippedUpstream = 5;

const noAddon = findAddon().addon === null;
const skipNote = noAddon ? ' (skipped: the native addon is not built)' : '';

describe.skipIf(noAddon)(`tfjs-core's specs on ${backendName}${skipNote}`, () => {
  let results: readonly SpecResult[] = [];

  beforeAll(async () => {
    tf.env().set('IS_TEST', true);
    registerNative();
    results = await runSpecs(await bundleSpecs(backendName));
    const counts = Object.entries(delegatedKernels()).sort(([, a], [, b]) => b - a);
    process.stdout.write(
      `conformance: ${count(results, 'passed')} passed, ${count(results, 'failed')} failed, ` +
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

function count(results: readonly SpecResult[], status: SpecResult['status']): number {
  return results.filter((result) => result.status === status).length;
}
