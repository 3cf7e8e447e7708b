// SPDX-License-Identifier: Apache-2.0
// tfjs-core's own specs, with no exclusion: one that upstream itself skips is the only kind that does not run.
import { delegatedKernels } from '@diffmavil/native';
import { runSpecs } from '@diffmavil/conformance/tfjs/run-specs';
import type { SpecResult } from '@diffmavil/conformance/tfjs/run-specs';
import * as tf from '@tensorflow/tfjs-core';
import { join } from 'node:path';
import { useBackend } from '../backends.ts';
import { root } from '../machine.ts';
import type { Suite } from './rows.ts';

/** tfjs-core 4.22 has 4,230 specs for a backend not named 'cpu', of which 5 are marked as skipped upstream. */
const fewestSpecs = 4200;
const skippedUpstream = 5;
/** Over the emulated device. */
const sample = /^(relu|concat1d|slice1d|softmax|layer norm|matmul|tensor) /;

const name = "tfjs-core's specs";

export const specs: Suite = {
  plan: () => [{ suite: 'specs', rows: [name], limitSeconds: 400, strict: false }],

  async run(_, { backend, emulated, threads }, report) {
    tf.env().set('IS_TEST', true);
    await useBackend(backend, threads);
    const bundle = join(root, `conformance/tfjs/generated/tfjs-specs-${backend}.cjs`);
    const results = await runSpecs(bundle, emulated ? (spec) => sample.test(spec) : undefined);
    const count = (status: SpecResult['status']): number =>
      results.filter((result) => result.status === status).length;
    const failures = results.filter(({ status }) => status === 'failed');
    const [passed, failed, skipped] = [count('passed'), failures.length, count('pending')];
    const enough = passed >= (emulated ? 1 : fewestSpecs) && skipped <= skippedUpstream;
    const good = failed === 0 && enough;
    report({
      name,
      state: good ? 'passed' : 'failed',
      ...(!good && { reason: `${passed} passed, ${failed} failed, ${skipped} skipped` }),
      figures: {
        passed,
        failed,
        skippedUpstream: skipped,
        // What a sample leaves out.
        leftOut: count('excluded'),
        failures: failures.slice(0, 100).map(describe),
        delegatedKernels: delegatedKernels(),
      },
    });
  },
};

function describe({ fullName, failedExpectations }: SpecResult): string {
  return `${fullName}: ${failedExpectations[0]?.message.split('\n')[0] ?? ''}`;
}
