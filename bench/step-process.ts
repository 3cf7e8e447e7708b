// SPDX-License-Identifier: Apache-2.0
// Our side of the comparison: a process that steps a model on command. One JSON object per line in and out; the same protocol is spoken by
// peers/train_step.py. Started by train-step.ts.
import type { Precision } from '@diffmavil/core';
import { loadAddon } from '@diffmavil/native';
import { createInterface } from 'node:readline/promises';
import { useBackend } from './backends.ts';
import { residentMemory, resetPeak } from './resident-memory.ts';
import { writeSetup } from './step-setup.ts';
import type { StepSetup } from './step-setup.ts';
import { makeStepper } from './stepper.ts';
import type { StepProfile, Stepper, Steps } from './stepper.ts';
import type { ResidentMemory } from './resident-memory.ts';

/** First argument of a step process, as JSON. */
export interface ProcessSetup {
  readonly folder: string;
  readonly setup: StepSetup;
  readonly backend: string;
  readonly precision: Precision;
  readonly threads: number;
  /** Only write the files of the setup and end. */
  readonly writeOnly?: boolean;
}

export type Command =
  | { readonly do: 'steps'; readonly count: number }
  | { readonly do: 'profile'; readonly count: number }
  | { readonly do: 'memory' };

/** Sent once after loading; `peakReset` says whether memory peaks are of the steps alone. */
export interface Ready {
  readonly parameters: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly peakReset: boolean;
}

export interface Replies {
  readonly steps: Steps;
  readonly profile: StepProfile;
  readonly memory: ResidentMemory;
}

async function serve(given: ProcessSetup): Promise<void> {
  await useBackend(given.backend, given.threads);
  if (given.writeOnly === true) {
    await writeSetup(given.folder, given.setup);
    return;
  }
  const stepper = makeStepper(given.folder, given.setup, given.precision);
  const ready: Ready = {
    parameters: stepper.parameters,
    versions: given.backend === 'diffmavil-cpu' ? { isa: loadAddon().isa } : {},
    peakReset: resetPeak(),
  };
  reply(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    reply(await obey(JSON.parse(line) as Command, stepper));
  }
}

async function obey(command: Command, stepper: Stepper): Promise<unknown> {
  try {
    switch (command.do) {
      case 'steps':
        return await stepper.run(command.count);
      case 'profile':
        return await stepper.profile(command.count);
      case 'memory':
        return residentMemory();
      default:
        return command satisfies never;
    }
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function reply(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

await serve(JSON.parse(process.argv[2] ?? '{}') as ProcessSetup);
