// SPDX-License-Identifier: Apache-2.0
// One unit in a process of its own, started by main.ts: rows go to standard output, a JSON object on a line each, and nothing else does.
import type { Row, SuiteOptions, Unit } from './rows.ts';
import { suites } from './suites.ts';

/** First argument, as JSON. */
export interface UnitRequest {
  readonly unit: Unit;
  readonly options: SuiteOptions;
}

const { unit, options } = JSON.parse(process.argv[2] ?? '{}') as UnitRequest;
const write = process.stdout.write.bind(process.stdout);
// Specs and libraries print.
process.stdout.write = process.stderr.write.bind(process.stderr);

try {
  await suites[unit.suite].run(unit, options, (row) => {
    const whole: Row = { suite: unit.suite, ...row };
    write(`${JSON.stringify(whole)}\n`);
  });
  // A backend's threads must not keep a process that is done.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).stack}\n`);
  write(`${JSON.stringify({ error: (error as Error).message })}\n`, () => process.exit(1));
}
