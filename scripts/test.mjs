// SPDX-License-Identifier: Apache-2.0
// `npm test`: set-up, lint, every test, and a closing line with the counts. The first stage that fails ends it. Arguments go to vitest:
// `npm test -- packages/core`. A test that cannot run on this machine is skipped under a title ending in '(skipped: <reason>)'.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { lint } from './lint.mjs';
import { setup } from './setup.mjs';
import { root, runMain, runOpenly } from './stage.mjs';

const results = '.cache/test-results.json';

await runMain(async () => {
  await setup({ native: true });
  await lint();
  mkdirSync(join(root, '.cache'), { recursive: true });
  rmSync(join(root, results), { force: true });
  const code = await runOpenly(process.execPath, [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ]);
  process.stdout.write(summarize(JSON.parse(readFileSync(join(root, results), 'utf8')), code));
  return code;
});

/** Why tests were skipped, counted, and the closing line. A file that could not be loaded counts as one failure. */
function summarize({ testResults }, code) {
  const tests = testResults.flatMap((file) => file.assertionResults);
  const passed = tests.filter(({ status }) => status === 'passed').length;
  const broken = testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  ).length;
  const failed = tests.filter(({ status }) => status === 'failed').length + broken;
  const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed');
  const reasons = new Map();
  for (const { ancestorTitles, title } of skipped) {
    const reason = /\(skipped: (.+?)\)/.exec([...ancestorTitles, title].join(' '))?.[1];
    const key = reason ?? `no reason given: ${[...ancestorTitles, title].join(' > ')}`;
    reasons.set(key, (reasons.get(key) ?? 0) + 1);
  }
  return [
    ...[...reasons].map(([reason, count]) => `skipped ${count}: ${reason}`),
    `${passed} passed, ${code === 0 ? failed : Math.max(failed, 1)} failed, ${skipped.length} skipped`,
    '',
  ].join('\n');
}
