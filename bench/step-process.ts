// SPDX-License-Identifier: Apache-2.0
// Our side of the comparison: a process that steps a model on command. One JSON object per line in and out; the same protocol is spoken by
// peers/train_step.py. Started by train-step.ts.
import type { Precision } from '@diffmavil/core';
import { CudaBackend, backendName, loadAddon } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';
import { createInterface } from 'node:readline/promises';
import { useBackend } from './backends.ts';
import { BenchError } from './bench-error.ts';
import { loadedLibrary, residentMemory, resetPeak } from './resident-memory.ts';
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
  /** How often each clip of the files is in the batch; default 1. */
  readonly repeats?: number;
  /** The passes of a step are recorded once and replayed. */
  readonly capture?: boolean;
  /** Only write the files of the setup and end. */
  readonly writeOnly?: boolean;
}

export type Command =
  | { readonly do: 'steps'; readonly count: number }
  | { readonly do: 'profile'; readonly count: number }
  | { readonly do: 'memory' }
  | { readonly do: 'digest' };

/** Sent once after loading; `peakReset` says whether memory peaks are of the steps alone. */
export interface Ready {
  readonly parameters: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly peakReset: boolean;
}

export interface Replies {
  readonly steps: Steps;
  readonly profile: StepProfile;
  readonly memory: StepMemory;
  /** Of the weights; PyTorch's side does not know it. */
  readonly digest: { readonly digest: string };
}

export interface StepMemory extends ResidentMemory {
  /** All that is held on a device of its own; null or absent where there is none. */
  readonly deviceBytes?: number | null;
  /** The file of cuBLASLt; null where it was not found, and our own kernels multiply; absent for PyTorch. */
  readonly cublasLt?: string | null;
  /** Of captured passes; null for plain ones, absent for PyTorch. */
  readonly captures?: Stepper['captures'];
}

async function serve(given: ProcessSetup): Promise<void> {
  await useBackend(given.backend, given.threads);
  if (given.writeOnly === true) {
    await writeSetup(given.folder, given.setup);
    reply({ written: given.folder });
    return;
  }
  const { folder, setup, precision, repeats = 1, capture = false } = given;
  const stepper = makeStepper(folder, setup, precision, { repeats, capture });
  const ready: Ready = {
    parameters: stepper.parameters,
    versions: versions(),
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
        return {
          ...residentMemory(),
          deviceBytes: deviceBytes(),
          captures: stepper.captures,
          cublasLt: loadedLibrary('libcublasLt'),
        };
      case 'digest':
        return { digest: await stepper.digest() };
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

function deviceBytes(): number | null {
  const backend = tf.backend();
  return backend instanceof CudaBackend ? backend.memory().numBytesInGPU : null;
}

/** What a reader of the figures has to know of the backend. */
function versions(): Record<string, string> {
  const backend = tf.backend();
  if (!(backend instanceof CudaBackend)) {
    return tf.getBackend() === backendName ? { isa: loadAddon().isa } : {};
  }
  const { name, major, minor, driver } = backend.device;
  return { device: name, capability: `${major}.${minor}`, driver: String(driver) };
}

try {
  await serve(JSON.parse(process.argv[2] ?? '{}') as ProcessSetup);
} catch (error) {
  if (!(error instanceof BenchError)) process.stderr.write(`${(error as Error).stack}\n`);
  reply({ error: (error as Error).message });
  process.exitCode = 1;
}
