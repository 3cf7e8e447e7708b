// SPDX-License-Identifier: Apache-2.0
// A model in training on the active backend, one `trainStep` of the trainer at a time: forward, backward, gradient norm and check, AdamW.
import { createHash } from 'node:crypto';
import type { Precision } from '@diffmavil/core';
import { readStep, startStep, stepGraphs } from '@diffmavil/trainer';
import type { StepGraphs, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { BenchError } from './bench-error.ts';
import { startKernelProfile } from './kernel-profile.ts';
import type { KernelTime } from './kernel-profile.ts';
import { prepared, pretrainLoss } from './pretrain-loss.ts';
import { optimizer, readBatch, readState, trainerOptimizer } from './step-setup.ts';
import type { StepSetup } from './step-setup.ts';
import { startWaitTimer } from './wait-timer.ts';

export interface Steps {
  /** Of each step; the last one ends when its update has. */
  readonly ms: readonly number[];
  /** Of that, what was not spent waiting for results: queueing ops and everything around them. PyTorch's side does not say. */
  readonly hostMs?: readonly number[];
  readonly losses: readonly number[];
}

/** Kernels of some steps, their sums divided by the number of steps. */
export interface StepProfile {
  readonly stepMs: number;
  readonly kernels: readonly KernelTime[];
}

export interface Stepper {
  readonly parameters: number;
  /** How often captured steps ran plainly, were recorded, were replayed; null for plain steps. */
  readonly captures: StepGraphs['counts'] | null;
  readonly run: (count: number) => Promise<Steps>;
  readonly profile: (count: number) => Promise<StepProfile>;
  /** SHA-256 of the weights as they are now. */
  readonly digest: () => Promise<string>;
  readonly dispose: () => void;
}

/**
 * Loads the setup's files. The same batch is used in every step.
 * @param options `repeats`: how often each clip of the files is in the batch, 1 by default; `capture`: whether the step is recorded once
 *   and replayed.
 * @throws BenchError where the backend cannot record.
 */
export function makeStepper(
  folder: string,
  setup: StepSetup,
  precision: Precision,
  { repeats = 1, capture = false }: { readonly repeats?: number; readonly capture?: boolean } = {},
): Stepper {
  let state: TrainState = readState(folder);
  const batch = readBatch(folder, setup.config, repeats);
  let step = 0;

  const loss = pretrainLoss(setup.config, setup.maskRatio, precision);
  const graphs = capture ? stepGraphs() : null;
  if (capture && graphs === null) {
    throw new BenchError(`bench: expected a backend that records steps, got ${tf.getBackend()}`);
  }
  const one = async (): Promise<number> => {
    const options = {
      step,
      learningRate: optimizer.learningRate,
      optimizer: trainerOptimizer,
      clips: [],
    };
    const started =
      graphs?.start(state, prepared(batch, loss), options) ??
      startStep(state, (parameters) => loss(parameters, batch), options);
    const done = await readStep(started, options);
    state = done.state;
    step++;
    return done.figures.loss;
  };
  const run = async (count: number): Promise<Steps> => {
    const [ms, hostMs, losses]: [number[], number[], number[]] = [[], [], []];
    const timer = startWaitTimer();
    try {
      for (let i = 0; i < count; i++) {
        const start = performance.now();
        const waitedBefore = timer.waitedMs();
        losses.push(await one());
        // A device may still have the optimizer's update before it.
        if (i === count - 1) await smallest(state.parameters).data();
        ms.push(performance.now() - start);
        hostMs.push(ms[i]! - (timer.waitedMs() - waitedBefore));
      }
    } finally {
      timer.stop();
    }
    return { ms, hostMs, losses };
  };
  return {
    parameters: Object.values(state.parameters).reduce((sum, { size }) => sum + size, 0),
    captures: graphs?.counts ?? null,
    run,
    profile: async (count) => {
      const stop = startKernelProfile();
      let kernels: KernelTime[] = [];
      let ms: readonly number[] = [];
      try {
        ({ ms } = await run(count));
      } finally {
        kernels = stop();
      }
      const perStep = kernels.map((time) => ({
        kernel: time.kernel,
        calls: time.calls / count,
        ms: time.ms / count,
        nativeMs: time.nativeMs / count,
        flops: time.flops / count,
      }));
      return { stepMs: ms.reduce((sum, x) => sum + x, 0) / count, kernels: perStep };
    },
    digest: async () => {
      const hash = createHash('sha256');
      for (const [name, tensor] of Object.entries(state.parameters)) {
        hash.update(name).update(await tensor.data());
      }
      return hash.digest('hex');
    },
    dispose: () => {
      graphs?.dispose();
      tf.dispose([state, batch] as unknown as tf.TensorContainer);
    },
  };
}

function smallest(parameters: TrainState['parameters']): tf.Tensor {
  return Object.values(parameters).reduce((a, b) => (b.size < a.size ? b : a));
}
