// SPDX-License-Identifier: Apache-2.0
// `diffmavil doctor`: what works on this machine, and what to do about what does not.
import { type BackendOutcomes, diagnose, isHealthy, readProblem } from '../doctor.ts';
import { inspectMachine } from '../machine.ts';
import { parseArguments } from './arguments.ts';
import { backendNames, describeCuda, describeNative, useBackend } from './backend.ts';
import { type Command, UsageError } from './command.ts';

export const command: Command = {
  name: 'doctor',
  summary: 'what works here, and what to do about what does not',
  usage: `diffmavil doctor [--json]

  --json   {healthy, findings: [{name, mark, found, advice, required}]}

One line each: Node, packages, backends, processor, GPU, ffmpeg, disk. 'missing' says what to do; 'note' is for information.
Exit code 1 only when something is missing without which nothing useful works.`,
  async run(args, context) {
    const { options, positionals } = parseArguments(args, { json: 'boolean' });
    if (positionals.length > 0)
      throw new UsageError(`expected no arguments, got '${positionals.join(' ')}'`);
    const findings = diagnose(await inspectMachine('.'), await tryBackends());
    const healthy = isHealthy(findings);
    if (options.json) {
      context.stdout(JSON.stringify({ healthy, findings }));
      return healthy ? 0 : 1;
    }
    const width = Math.max(...findings.map(({ name }) => name.length));
    for (const { mark, name, found, advice } of findings) {
      const line = `${mark.padEnd(7)}  ${name.padEnd(width)}  ${found}`;
      context.stdout(advice === null ? line : `${line}. Try: ${advice}`);
    }
    return healthy ? 0 : 1;
  },
};

const describe: Readonly<Record<string, () => Promise<string>>> = {
  'diffmavil-cpu': describeNative,
  'diffmavil-cuda': describeCuda,
};

/** Starts each backend in turn; the plain one last, so that it is the one left active. */
async function tryBackends(): Promise<BackendOutcomes> {
  const outcomes: Record<string, BackendOutcomes[string]> = {};
  for (const name of backendNames.filter((each) => each !== 'auto').toReversed()) {
    try {
      await useBackend(name);
      outcomes[name] = { starts: true, found: (await describe[name]?.()) ?? 'starts' };
    } catch (error) {
      outcomes[name] = { starts: false, ...readProblem((error as Error).message) };
    }
  }
  return outcomes;
}
