// SPDX-License-Identifier: Apache-2.0
// A model in training on the active backend, one `trainStep` of the trainer at a time: forward, backward, gradient norm and check, AdamW.
import { pretrainForward } from '@diffmavil/model';
import type { Precision } from '@diffmavil/core';
import { trainStep } from '@diffmavil/trainer';
import type { LossOutputs, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { startKernelProfile } from './kernel-profile.ts';
import type { KernelTime } from './kernel-profile.ts';
import { optimizer, readBatch, readState } from './step-setup.ts';
import type { StepSetup } from './step-setup.ts';

export interface Steps {
  /** Of each step. */
  readonly ms: readonly number[];
  readonly losses: readonly number[];
}

/** Kernels of some steps, their sums divided by the number of steps. */
export interface StepProfile {
  readonly stepMs: number;
  readonly kernels: readonly KernelTime[];
}

export interface Stepper {
  readonly parameters: number;
  readonly run: (count: number) => Promise<Steps>;
  readonly profile: (count: number) => Promise<StepProfile>;
  readonly dispose: () => void;
}

/** Loads the setup's files. The same batch is used in every step. */
export function makeStepper(folder: string, setup: StepSetup, precision: Precision): Stepper {
  let state: TrainState = readState(folder);
  const batch = readBatch(folder, setup.config);
  const settings = {
    ...optimizer,
    minLearningRate: 0,
    warmupEpochs: 0,
    clipNorm: null,
    layerDecay: 1,
  };
  let step = 0;

  const forward = (parameters: TrainState['parameters']): LossOutputs => {
    const outputs = pretrainForward(setup.config, parameters, batch, setup.maskRatio, {
      precision,
    });
    // What a training run keeps: the losses.
    return Object.fromEntries(
      Object.entries(outputs).filter(([, tensor]) => tensor.size === 1),
    ) as LossOutputs;
  };
  const one = async (): Promise<number> => {
    const options = {
      step,
      learningRate: optimizer.learningRate,
      optimizer: settings,
      clips: [],
    };
    const done = await trainStep(state, forward, options);
    state = done.state;
    step++;
    return done.figures.loss;
  };
  const run = async (count: number): Promise<Steps> => {
    const [ms, losses]: [number[], number[]] = [[], []];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      losses.push(await one());
      ms.push(performance.now() - start);
    }
    return { ms, losses };
  };
  return {
    parameters: Object.values(state.parameters).reduce((sum, { size }) => sum + size, 0),
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
    dispose: () => tf.dispose([state, batch] as unknown as tf.TensorContainer),
  };
}
