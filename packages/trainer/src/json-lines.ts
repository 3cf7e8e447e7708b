// SPDX-License-Identifier: Apache-2.0
// `log.jsonl`: the truth about a run, one JSON object a line. Appending is all a run does to it; resuming cuts what lies after the
// checkpoint, so the log of an interrupted run equals that of an unbroken one.
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** One line of `log.jsonl`. */
export interface LogRecord {
  readonly event:
    | 'start'
    | 'step'
    | 'graphs'
    | 'epoch'
    | 'bad-clip'
    | 'checkpoint'
    | 'evaluation'
    | 'end';
  /** Optimizer steps done when the line was written. */
  readonly step: number;
  readonly [field: string]: unknown;
}

export function appendRecord(file: string, record: LogRecord): void {
  appendFileSync(file, `${JSON.stringify(record)}\n`);
}

/** Reads a log; a last line cut short by a crash is left out. */
export function readRecords(file: string): LogRecord[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as LogRecord];
      } catch {
        return [];
      }
    });
}

/** Keeps the records up to and including `step`. */
export function truncateRecords(file: string, step: number): void {
  const kept = readRecords(file).filter((record) => record.step <= step && record.event !== 'end');
  const beside = `${file}.tmp`;
  writeFileSync(beside, kept.map((record) => `${JSON.stringify(record)}\n`).join(''));
  renameSync(beside, file);
}
