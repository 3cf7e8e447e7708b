// SPDX-License-Identifier: Apache-2.0
// Where progress goes: the error stream, so that `--json` on the standard output stays clean.
import type { ProgressOutput } from '../progress.ts';
import type { CommandContext } from './command.ts';

export function progressOutput(context: CommandContext): ProgressOutput {
  return context.isTerminal
    ? { isTerminal: true, write: (text) => void process.stderr.write(text) }
    : { isTerminal: false, write: (text) => context.stderr(text.trimEnd()) };
}

/** Aborts on the first Ctrl-C or SIGTERM: the step in progress is finished and a checkpoint written. A second one ends at once. */
export function abortOnSignals(context: CommandContext): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      context.stderr(`${name}: finishing the step and writing a checkpoint`);
      controller.abort();
    });
  }
  return controller.signal;
}
