// SPDX-License-Identifier: Apache-2.0
// Starts a unit's process, collects its rows, and ends it and all it started when its time is up. A row that did not come says why.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Row, SuiteOptions, Unit } from './rows.ts';

const program = fileURLToPath(new URL('suite-process.js', import.meta.url));

/**
 * All rows of the unit, in its order; `limitSeconds` is its own or what is left of the run, whichever is less. `onRow` has each as it comes: a
 * run that is itself ended keeps what it had.
 */
export async function runUnit(
  unit: Unit,
  options: SuiteOptions,
  limitSeconds: number,
  onRow: (row: Row) => void,
): Promise<Row[]> {
  const child = spawn(
    process.execPath,
    ['--expose-gc', program, JSON.stringify({ unit, options })],
    {
      env: { ...process.env, ...(unit.strict && { DIFFMAVIL_STRICT: '1' }) },
      stdio: ['ignore', 'pipe', 'inherit'],
      // A group of its own, so that its end is that of the processes that it started.
      detached: true,
    },
  );
  let late = false;
  const kill = (): void => void process.kill(-child.pid!, 'SIGKILL');
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, 1000 * limitSeconds);
  const interrupted = (): void => {
    kill();
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  const rows: Row[] = [];
  let fault: string | null = null;
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as Row | { readonly error: string };
    if ('error' in said) fault = said.error;
    else {
      rows.push(said);
      onRow(said);
    }
  }
  const [code, signal] = await ended;
  clearTimeout(timer);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
  if (!late && fault === null && code !== 0) {
    fault = `its process ended with ${signal ?? `exit code ${code}`}`;
  }
  return complete(unit, rows, late ? { late: limitSeconds } : { fault });
}

/** What was planned: as reported; the first that is missing after a fault has failed, the others were not run. */
function complete(
  { suite, rows: planned }: Unit,
  rows: readonly Row[],
  end: { readonly late: number } | { readonly fault: string | null },
): Row[] {
  const reported = new Map(rows.map((row) => [row.name, row]));
  let blamed = false;
  return planned.map((name): Row => {
    const row = reported.get(name);
    if (row !== undefined) return row;
    if ('late' in end) {
      const reason = `no result within the ${Math.round(end.late)} s that were left for it`;
      return { suite, name, state: 'not run', reason };
    }
    const reason = end.fault ?? 'its process reported nothing about it';
    const state = blamed ? 'not run' : 'failed';
    blamed = true;
    return { suite, name, state, reason };
  });
}
