// SPDX-License-Identifier: Apache-2.0
// Parity with PyTorch: the golden cases of conformance, training steps, a teacher's features and classifiers, in float32 at its bounds and in bfloat16
// at those of 16-bit products.
import { runBfloat16Case } from '@diffmavil/conformance/bfloat16-comparison';
import { runClassifier, runTeacher } from '@diffmavil/conformance/family-comparison';
import {
  caseNames,
  failures,
  familyFolder,
  familyNames,
  namesIn,
  readCase,
  runCase,
} from '@diffmavil/conformance/trace-comparison';
import type { Row as ErrorRow } from '@diffmavil/conformance/trace-comparison';
import type { Precision } from '@diffmavil/core';
import { expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from '../backends.ts';
import type { Row, Suite, SuiteOptions } from './rows.ts';

type Cases = ReadonlyMap<string, () => Promise<ErrorRow[]>>;

export const parity: Suite = {
  plan: (options) =>
    options.precisions.map((precision) => ({
      suite: 'parity',
      rows: [...casesOf(precision, options).keys()],
      limitSeconds: 240,
      strict: true,
      precision,
    })),

  async run({ precision = 'float32' }, options, report) {
    tf.env().set('IS_TEST', true);
    await useBackend(options.backend, options.threads);
    for (const [name, compare] of casesOf(precision, options)) report(await rowOf(name, compare));
  },
};

async function rowOf(
  name: string,
  compare: () => Promise<ErrorRow[]>,
): Promise<Omit<Row, 'suite'>> {
  try {
    const rows = await expectNoLeak(compare);
    const bad = failures(rows);
    const [worst] = rows.toSorted((a, b) => b.error / b.bound - a.error / a.bound);
    const figures = { results: rows.length, worst };
    if (bad.length === 0) return { name, state: 'passed', figures };
    const reason = `${bad.length} of ${rows.length} results outside their bounds`;
    return { name, state: 'failed', reason, figures: { ...figures, outside: bad.slice(0, 20) } };
  } catch (error) {
    return { name, state: 'failed', reason: (error as Error).message };
  }
}

/** By the name of their row. */
function casesOf(precision: Precision, { emulated }: SuiteOptions): Cases {
  const steps = [...caseNames, ...familyNames];
  const chosen = (names: readonly string[]): readonly string[] =>
    names.slice(0, emulated ? 1 : Infinity);
  if (precision === 'bfloat16') {
    return new Map(
      chosen(steps).map((name) => [`bfloat16: ${name}`, () => runBfloat16Case(readCase(name))]),
    );
  }
  const own = chosen(steps).map((name) => [name, () => runCase(readCase(name))] as const);
  const others = (
    [
      ['teacher', runTeacher],
      ['classifier', runClassifier],
    ] as const
  ).flatMap(([kind, run]) =>
    chosen(namesIn(familyFolder, kind)).map(
      (name) => [`${kind}-${name}`, () => run(name)] as const,
    ),
  );
  return new Map([...own, ...others].map(([name, run]) => [`float32: ${name}`, run]));
}
