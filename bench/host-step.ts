// SPDX-License-Identifier: Apache-2.0
// What the host does for a training step on a device, op by op and as one graph: the time to start everything, on the emulated device with kernels left out, so
// that nothing else is measured. No GPU takes part; one that runs the step faster than the host starts it would wait for the host.
import { type Precision, adamwUpdate } from '@diffmavil/core';
import { modalities, parameterShapes, patchValues, presets, tokenCount } from '@diffmavil/model';
import type { Modality, ModalityInput, ModelConfig, PresetName } from '@diffmavil/model';
import { cudaBackendName, registerCuda } from '@diffmavil/native';
import { stepGradients, stepGraphs } from '@diffmavil/trainer';
import type { StartedStep, StepGradients, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { join } from 'node:path';
import { root } from './machine.ts';
import { prepared, pretrainLoss } from './pretrain-loss.ts';
import { figure, markdownTable } from './report.ts';
import { median } from './rounds.ts';
import { optimizer, trainerOptimizer } from './step-setup.ts';

export interface HostStep {
  readonly preset: PresetName;
  readonly precision: Precision;
  readonly batch: number;
  readonly parameters: number;
  /** Of tfjs, in the passes. */
  readonly kernelCalls: number;
  /** Medians. Starting forward and backward pass, op by op. */
  readonly passesMs: number;
  /** Starting AdamW, and dropping the gradients. */
  readonly updateMs: number;
  /** Starting all of it as one graph. */
  readonly replayMs: number;
}

export interface HostStepOptions {
  readonly presets: readonly PresetName[];
  readonly precisions: readonly Precision[];
  readonly batch: number;
  readonly maskRatio: number;
  readonly steps: number;
  readonly log: (line: string) => void;
}

/** Starts steps of each preset and precision. */
export async function benchHostStep(options: HostStepOptions): Promise<HostStep[]> {
  // Read when the device is opened.
  process.env['DIFFMAVIL_CUDA'] = 'require';
  process.env['DIFFMAVIL_CUDA_PATH'] = join(
    root,
    'native/build-cuda/libdiffmavil_cuda_emulated.so',
  );
  process.env['DIFFMAVIL_EMULATOR_KERNELS'] = '0';
  process.env['DIFFMAVIL_EMULATOR_MEMORY'] = String(2 ** 40);
  registerCuda();
  await tf.setBackend(cudaBackendName);
  const results: HostStep[] = [];
  for (const preset of options.presets) {
    for (const precision of options.precisions) {
      results.push(hostStep(preset, precision, options));
      options.log(`${preset} ${precision}: ${figure(results.at(-1)!.passesMs, ' ms')}`);
    }
  }
  return results;
}

export function hostStepTable(results: readonly HostStep[]): string {
  return markdownTable(
    ['preset', 'precision', 'clips', 'kernel calls', 'passes, ms', 'update, ms', 'replayed, ms'],
    results.map((r) => [
      r.preset,
      r.precision,
      String(r.batch),
      String(r.kernelCalls),
      ...[r.passesMs, r.updateMs, r.replayMs].map((ms) => figure(ms)),
    ]),
    2,
  );
}

function hostStep(preset: PresetName, precision: Precision, options: HostStepOptions): HostStep {
  const config = presets[preset];
  const batch = batchOf(config, options.batch);
  let state = zeroState(config);
  const lossOf = pretrainLoss(config, options.maskRatio, precision);
  const loss = (own: TrainState['parameters']): ReturnType<typeof lossOf> => lossOf(own, batch);
  const graphs = stepGraphs()!;
  const turns: Record<'passes' | 'update' | 'replay', number[]> = {
    passes: [],
    update: [],
    replay: [],
  };
  const timed = <T>(into: number[], work: () => T): T => {
    const start = performance.now();
    const result = work();
    into.push(performance.now() - start);
    return result;
  };
  const drop = ({ outputs, grads, norm }: StepGradients): void =>
    tf.dispose([outputs, grads, norm]);
  for (let step = 1; step <= options.steps; step++) {
    const passes = timed(turns.passes, () => stepGradients(state.parameters, loss));
    timed(turns.update, () => {
      const { grads, norm } = passes;
      state = adamwUpdate(
        { ...state, gradients: grads },
        { ...optimizer, step, gradientScale: norm },
      );
      drop(passes);
    });
    const how = { ...optimizer, optimizer: trainerOptimizer, step, clips: [] };
    const started: StartedStep = timed(turns.replay, () =>
      graphs.start(state, prepared(batch, lossOf), how),
    );
    state = started.state;
    tf.dispose({ ...started.figures });
  }
  const { result, calls } = countKernels(() => stepGradients(state.parameters, loss));
  drop(result);
  graphs.dispose();
  tf.dispose([state.parameters, state.firstMoments, state.secondMoments]);
  tf.dispose(batch as unknown as tf.TensorContainer);
  // The first turns compile and record.
  const settled = (ms: readonly number[]): number => median(ms.slice(Math.floor(ms.length / 2)));
  return {
    preset,
    precision,
    batch: options.batch,
    parameters: Object.keys(state.parameters).length,
    kernelCalls: calls,
    passesMs: settled(turns.passes),
    updateMs: settled(turns.update),
    replayMs: settled(turns.replay),
  };
}

/** Kernels that tfjs's engine runs meanwhile. */
function countKernels<T>(f: () => T): { result: T; calls: number } {
  const engine = tf.engine() as unknown as { runKernelFunc: (...args: unknown[]) => unknown };
  const original = engine.runKernelFunc;
  let calls = 0;
  engine.runKernelFunc = function counted(...args) {
    calls++;
    return original.apply(engine, args);
  };
  try {
    return { result: f(), calls };
  } finally {
    engine.runKernelFunc = original;
  }
}

/** Values do not matter: nothing is computed. */
function zeroState(config: ModelConfig): TrainState {
  const zeros = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(parameterShapes(config)).map(([name, shape]) => [name, tf.zeros([...shape])]),
    );
  return { parameters: zeros(), firstMoments: zeros(), secondMoments: zeros() };
}

function batchOf(config: ModelConfig, clips: number): Partial<Record<Modality, ModalityInput>> {
  return Object.fromEntries(
    modalities(config).map((m) => {
      const tokens = tokenCount(config, m);
      const orders = Array.from({ length: clips }, () =>
        Array.from({ length: tokens }, (_, i) => i),
      );
      return [
        m,
        {
          patches: tf.zeros([clips, tokens, patchValues(config, m)]),
          order: tf.tensor2d(orders, [clips, tokens], 'int32'),
          timesteps: tf.ones([clips], 'int32'),
          noise: { keys: tf.zeros([clips, 4], 'int32') },
        },
      ];
    }),
  );
}
