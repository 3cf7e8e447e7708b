// SPDX-License-Identifier: Apache-2.0
// Whether memory is flat: many training steps in this process, with resident and native memory and the number of tensors sampled.
import { presets } from '@diffmavil/model';
import type { PresetName } from '@diffmavil/model';
import * as tf from '@tensorflow/tfjs-core';
import { join } from 'node:path';
import { useBackend } from './backends.ts';
import { root } from './machine.ts';
import { figure } from './report.ts';
import { collectGarbage } from './resident-memory.ts';
import { setupFolder, writeSetup } from './step-setup.ts';
import { makeStepper } from './stepper.ts';

export interface MemoryOptions {
  readonly preset: PresetName;
  readonly backend: string;
  readonly batch: number;
  readonly threads: number;
  readonly steps: number;
  /** Steps between samples. */
  readonly every: number;
  /** A full collection before each sample, where Node has --expose-gc; else garbage counts. */
  readonly collect: boolean;
  readonly log: (line: string) => void;
}

export interface MemorySample {
  /** Steps done. */
  readonly step: number;
  readonly residentBytes: number;
  /** Of live native buffers; null on other backends. */
  readonly nativeBytes: number | null;
  readonly tensors: number;
}

export interface MemoryResult {
  readonly preset: PresetName;
  readonly backend: string;
  readonly batch: number;
  readonly steps: number;
  readonly samples: readonly MemorySample[];
  readonly loss: { readonly first: number; readonly last: number };
  /** Least-squares slope of resident memory over the second half, bytes per step. */
  readonly growthPerStep: number;
  /** Tensors at the end over those after the first sample. */
  readonly extraTensors: number;
}

/** Trains on one batch. */
export async function benchMemory(options: MemoryOptions): Promise<MemoryResult> {
  const { preset, backend, batch, steps, every } = options;
  await useBackend(backend, options.threads);
  const setup = { config: presets[preset], batch, maskRatio: 0.8, seed: 1 };
  const folder = setupFolder(join(root, '.cache/bench'), setup);
  await writeSetup(folder, setup);
  const stepper = makeStepper(folder, setup, 'float32');
  const samples: MemorySample[] = [];
  const losses: number[] = [];
  for (let step = 0; step < steps; step += every) {
    losses.push(...(await stepper.run(Math.min(every, steps - step))).losses);
    if (options.collect) {
      collectGarbage();
      await nextTurn(); // what was collected is freed then; a trainer turns whenever it waits for a clip
    }
    samples.push(sample(losses.length));
    if (samples.length % 10 === 0) options.log(describe(samples.at(-1)!));
  }
  stepper.dispose();
  const settled = samples.slice(Math.floor(samples.length / 2));
  return {
    preset,
    backend,
    batch,
    steps,
    samples,
    loss: { first: losses[0] ?? NaN, last: losses.at(-1) ?? NaN },
    growthPerStep: slope(settled.map(({ step, residentBytes }) => [step, residentBytes])),
    extraTensors: (samples.at(-1)?.tensors ?? 0) - (samples[0]?.tensors ?? 0),
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function sample(step: number): MemorySample {
  const { numTensors, numBytesAllocated } = tf.memory() as unknown as Record<string, number>;
  return {
    step,
    residentBytes: process.memoryUsage.rss(),
    nativeBytes: numBytesAllocated ?? null,
    tensors: numTensors ?? 0,
  };
}

/** Least squares over (x, y); 0 for fewer than two points. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [x, y] = [mean(points.map((p) => p[0])), mean(points.map((p) => p[1]))];
  const spread = points.reduce((sum, p) => sum + (p[0] - x) ** 2, 0);
  if (spread === 0 || points.length < 2) return 0;
  return points.reduce((sum, p) => sum + (p[0] - x) * (p[1] - y), 0) / spread;
}

/** Two sentences for the terminal. */
export function memorySummary({
  samples,
  growthPerStep,
  extraTensors,
  loss,
}: MemoryResult): string {
  const resident = samples.map(({ residentBytes }) => residentBytes / 2 ** 20);
  const first = samples[0];
  return [
    `Resident memory ${figure(resident[0])} MiB after step ${first?.step}, ${figure(resident.at(-1))} at the end, ${figure(Math.max(...resident))} at most; ` +
      `growth in the second half ${figure((1000 * growthPerStep) / 2 ** 20)} MiB per 1,000 steps.`,
    `${extraTensors} tensors more at the end than at the first sample. Loss ${figure(loss.first)} -> ${figure(loss.last)}.`,
  ].join('\n');
}

function describe({ step, residentBytes, nativeBytes, tensors }: MemorySample): string {
  const native = nativeBytes === null ? '' : `, native ${figure(nativeBytes / 2 ** 20)} MiB`;
  return `step ${step}: resident ${figure(residentBytes / 2 ** 20)} MiB${native}, ${tensors} tensors`;
}
