// SPDX-License-Identifier: Apache-2.0
// One optimizer step: loss and gradients, global norm, finite check, clip, AdamW. Nothing is changed unless every figure is finite.
import { adamwUpdate, disposeTree, globalNorm, valueAndGrads } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { TrainState } from './checkpoint.ts';
import type { OptimizerConfig } from './config.ts';

/** Tensors a loss function returns: `loss` is minimised, the other scalars are logged. */
export type LossOutputs = { loss: tf.Scalar } & Record<string, tf.Tensor>;

/** Scalars of one step, by name; `loss` and `gradientNorm` (before clipping) are always there. */
export type StepFigures = Readonly<Record<string, number>> & {
  readonly loss: number;
  readonly gradientNorm: number;
};

/** A step whose loss or gradient is not finite; the weights are as they were. */
export class NonFiniteError extends Error {
  override readonly name = 'NonFiniteError';
  readonly kind = 'Training';
}

export interface StepOptions {
  /** Steps done before this one. */
  readonly step: number;
  readonly learningRate: number;
  readonly optimizer: OptimizerConfig;
  /** Learning-rate factor by weight name; absent: 1. */
  readonly learningRateScales?: Readonly<Record<string, number>>;
  /** Clip names of the batch, for the error message. */
  readonly clips: readonly string[];
}

/** What a step's passes leave: tensors of whoever holds it. */
export interface StepGradients {
  readonly outputs: LossOutputs;
  /** By weight. */
  readonly grads: Record<string, tf.Tensor>;
  /** Of all gradients together, before clipping. */
  readonly norm: tf.Scalar;
}

/**
 * Runs one step.
 * @param state Consumed: its tensors are disposed or reused by the returned state.
 * @throws NonFiniteError before any weight is touched; `state` is then still valid.
 */
export async function trainStep(
  state: TrainState,
  loss: (parameters: TrainState['parameters']) => LossOutputs,
  options: StepOptions,
): Promise<{ state: TrainState; figures: StepFigures }> {
  return finishStep(state, stepGradients(state.parameters, loss), options);
}

/** The forward and backward pass of a step. Reads no values, so that a device can record it. */
export function stepGradients(
  parameters: TrainState['parameters'],
  loss: (parameters: TrainState['parameters']) => LossOutputs,
): StepGradients {
  const { outputs, grads } = valueAndGrads(() => loss(parameters), parameters);
  return { outputs, grads, norm: globalNorm(grads) };
}

/**
 * Reads the figures of a step and, where they are finite, updates the weights.
 * @param state Consumed, as by `trainStep`.
 * @param gradients Disposed.
 * @throws NonFiniteError before any weight is touched; `state` is then still valid.
 */
export async function finishStep(
  state: TrainState,
  gradients: StepGradients,
  options: StepOptions,
): Promise<{ state: TrainState; figures: StepFigures }> {
  const { outputs, grads, norm } = gradients;
  try {
    const figures = await readFigures({ ...outputs, gradientNorm: norm });
    assertFinite(figures, options);
    const { clipNorm } = options.optimizer;
    const gradientScale =
      clipNorm === null ? 1 : Math.min(1, clipNorm / (figures.gradientNorm + 1e-6));
    return { state: update(state, grads, gradientScale, options), figures };
  } finally {
    disposeTree([outputs, grads, norm]);
  }
}

/** Only weights of linear layers decay; biases, norms, tokens and bias tables do not [MAE fine-tuning, AudioMAE: none on one axis]. */
export function decays(name: string, rank: number): boolean {
  return name.endsWith('.weight') && rank >= 2;
}

function update(
  state: TrainState,
  gradients: Record<string, tf.Tensor>,
  gradientScale: number,
  { optimizer, learningRate, step, learningRateScales = {} }: StepOptions,
): TrainState {
  const perParameter = Object.fromEntries(
    Object.entries(state.parameters).map(([name, parameter]) => [
      name,
      {
        learningRateScale: learningRateScales[name] ?? 1,
        weightDecay: decays(name, parameter.rank) ? optimizer.weightDecay : 0,
      },
    ]),
  );
  const { beta1, beta2, epsilon, weightDecay } = optimizer;
  return adamwUpdate(
    { ...state, gradients },
    {
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      step: step + 1,
      gradientScale,
      perParameter,
    },
  );
}

async function readFigures(tensors: Record<string, tf.Tensor>): Promise<StepFigures> {
  const scalars = Object.entries(tensors).filter(([, tensor]) => tensor.size === 1);
  const values = await Promise.all(
    scalars.map(async ([name, tensor]) => [name, (await tensor.data())[0]!] as const),
  );
  return Object.fromEntries(values) as unknown as StepFigures;
}

function assertFinite(figures: StepFigures, { step, clips }: StepOptions): void {
  if (Object.values(figures).every(Number.isFinite)) return;
  const terms = Object.entries(figures)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  throw new NonFiniteError(
    `step ${step}: expected finite losses and gradients, got ${terms}, with the clips ${clips.join(', ')}. Try: a lower learningRate, a clipNorm, or the last checkpoint; no weight was changed by this step`,
  );
}
