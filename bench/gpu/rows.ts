// SPDX-License-Identifier: Apache-2.0
// What a run of the suites is made of. A suite plans units; a unit is a process of its own with a limit of time, and reports rows; a row that nobody
// reported says why.
import type { Precision } from '@diffmavil/core';
import type { PresetName } from '@diffmavil/model';

/** In the order in which they run, unless another is asked for. */
export const suiteNames = ['specs', 'parity', 'repeat', 'training', 'compare'] as const;
export type SuiteName = (typeof suiteNames)[number];

/** One line of the record. */
export interface Row {
  readonly suite: SuiteName | 'targets';
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'not run';
  /** Why it failed or was not run, in one sentence. */
  readonly reason?: string;
  readonly figures?: Readonly<Record<string, unknown>>;
}

/** How much is run; sent to every process. */
export interface SuiteOptions {
  readonly backend: string;
  /** Over the emulated device: samples of the specs and cases, tiny sizes, nothing is timed. */
  readonly emulated: boolean;
  readonly presets: readonly PresetName[];
  readonly precisions: readonly Precision[];
  /** Clips of a step in the comparison with PyTorch. */
  readonly batches: readonly number[];
  readonly maskRatios: readonly number[];
  /** Of a training run. */
  readonly steps: number;
  /** Of the comparison: turns of each side, and how long one lasts at least. */
  readonly rounds: number;
  readonly turnMs: number;
  /** Threads of the host. */
  readonly threads: number;
  /** Why PyTorch's sides cannot run; null when they can. */
  readonly noTorch: string | null;
  /** Operations a second that the device's data sheet promises, by precision; null for a device that is not known here. */
  readonly peak: Readonly<Record<Precision, number>> | null;
}

/** What one process does. */
export interface Unit {
  readonly suite: SuiteName;
  /** Names of the rows that it reports. */
  readonly rows: readonly string[];
  readonly limitSeconds: number;
  /** Whether a kernel without a native version is an error. */
  readonly strict: boolean;
  /** What this unit is about; absent: all that the suite is. */
  readonly preset?: PresetName;
  readonly precision?: Precision;
  readonly batch?: number;
  readonly maskRatio?: number;
}

/** Of rows of one name the last counts. */
export type Report = (row: Omit<Row, 'suite'>) => void;

export interface Suite {
  plan(options: SuiteOptions): Unit[];
  /** Runs one unit in this process. What it throws is the failure of the first row that it has not reported. */
  run(unit: Unit, options: SuiteOptions, report: Report): Promise<void>;
}

/** Every preset at every precision. */
export function modelUnits(
  options: Pick<SuiteOptions, 'presets' | 'precisions'>,
): { readonly preset: PresetName; readonly precision: Precision }[] {
  return options.presets.flatMap((preset) =>
    options.precisions.map((precision) => ({ preset, precision })),
  );
}
