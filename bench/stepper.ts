// SPDX-License-Identifier: Apache-2.0
// A model in training on the active backend, one `trainStep` of the trainer at a time: forward, backward, gradient norm and check, AdamW.
import { createHash } from 'node:crypto';
import { pretrainForward } from '@diffmavil/model';
import type { Precision } from '@diffmavil/core';
import { finishStep, trainStep } from '@diffmavil/trainer';
import type { LossOutputs, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { capturedPasses } from './captured-passes.ts';
import type { CapturedPasses } from './captured-passes.ts';
import { startKernelProfile } from './kernel-profile.ts';
import type { KernelTime } from './kernel-profile.ts';
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
  /** How often captured passes ran plainly, were recorded, were replayed; null for plain steps. */
  readonly captures: CapturedPasses['counts'] | null;
  readonly run: (count: number) => Promise<Steps>;
  readonly profile: (count: number) => Promise<StepProfile>;
  /** SHA-256 of the weights as they are now. */
  readonly digest: () => Promise<string>;
  readonly dispose: () => void;
}

/**
 * Loads the setup's files. The same batch is used in every step.
 * @param options `repeats`: how often each clip of the files is in the batch, 1 by default; `capture`: whether the passes are recorded once
 *   and replayed.
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

  const forward = (parameters: TrainState['parameters'], inputs = batch): LossOutputs => {
    const outputs = pretrainForward(setup.config, parameters, inputs, setup.maskRatio, {
      precision,
    });
    // What a training run keeps: the losses.
    return Object.fromEntries(
      Object.entries(outputs).filter(([, tensor]) => tensor.size === 1),
    ) as LossOutputs;
  };
  const passes = capture ? capturedPasses(() => state.parameters, forward) : null;
  const one = async (): Promise<number> => {
    const options = {
      step,
      learningRate: optimizer.learningRate,
      optimizer: trainerOptimizer,
      clips: [],
    };
    const done =
      passes === null
        ? await trainStep(state, forward, options)
        : await finishStep(state, passes.run(batch), options);
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
    captures: passes?.counts ?? null,
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
      passes?.dispose();
      tf.dispose([state, batch] as unknown as tf.TensorContainer);
    },
  };
}

function smallest(parameters: TrainState['parameters']): tf.Tensor {
  return Object.values(parameters).reduce((a, b) => (b.size < a.size ? b : a));
}
