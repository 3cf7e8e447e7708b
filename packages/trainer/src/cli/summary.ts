// SPDX-License-Identifier: Apache-2.0
// The closing lines of a training command.
import { readRecords } from '../json-lines.ts';
import { logFile } from '../run-folder.ts';
import type { TrainResult } from '../train.ts';

/** Loss first to last, steps, unreadable clips by name, and how to go on where a run was stopped. */
export function summarize(run: string, result: Omit<TrainResult, 'parameters'>): string {
  const losses = readRecords(logFile(run))
    .filter((record) => record.event === 'step')
    .map((record) => Number(record['loss']));
  const bad = Object.entries(result.badClips);
  return [
    `${run}: ${result.steps} steps, loss ${format(losses[0])} -> ${format(losses.at(-1))}`,
    ...(bad.length === 0
      ? []
      : [
          `${bad.length} unreadable clips were left out:`,
          ...bad.map(([id, reason]) => `  ${id}: ${reason}`),
        ]),
    ...(result.finished
      ? []
      : [`Stopped before the end. To go on: the same command with --resume`]),
  ].join('\n');
}

function format(loss: number | undefined): string {
  return loss === undefined ? '-' : loss.toFixed(4);
}
