// SPDX-License-Identifier: Apache-2.0
// One optimizer step: loss and gradients, global norm, clip, AdamW, figures. Nothing is changed unless every figure is finite.
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

/** A step whose loss or gradient is not finite. */
export class NonFiniteError extends Error {
  override readonly name = 'NonFiniteError';
  readonly kind = 'Training';
  /** Weights and moments, with the values from before the step; the caller owns them. */
  readonly state: TrainState;

  constructor(message: string, state: TrainState) {
    super(message);
    this.state = state;
  }
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
 * @throws NonFiniteError when a figure is not finite; its `state` has the values from before.
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
 * Updates the weights where the figures of a step are finite, and reads them. A device decides by itself whether they are, so that nobody waits
 * between the backward pass and the update.
 * @param state Consumed, as by `trainStep`.
 * @param gradients Disposed.
 * @throws NonFiniteError when a figure is not finite; its `state` has the values from before.
 */
export async function finishStep(
  state: TrainState,
  gradients: StepGradients,
  options: StepOptions,
): Promise<{ state: TrainState; figures: StepFigures }> {
  const { outputs, grads, norm } = gradients;
  const scalars = scalarsOf({ ...outputs, gradientNorm: norm });
  const scale = updateScale(scalars, norm, options.optimizer.clipNorm);
  try {
    const updated = update(state, grads, scale, options);
    const figures = await readFigures(scalars);
    const problem = nonFinite(figures, options);
    if (problem !== null) throw new NonFiniteError(problem, updated);
    return { state: updated, figures };
  } finally {
    disposeTree([outputs, grads, norm, scale]);
  }
}

/** What clipping multiplies the gradients by; NaN, which calls the update off, where a figure is not finite. */
function updateScale(
  figures: Readonly<Record<string, tf.Tensor>>,
  norm: tf.Scalar,
  clipNorm: number | null,
): tf.Scalar {
  return tf.tidy(() => {
    const all = Object.values(figures).map((figure) => tf.reshape(figure, []));
    const fault = tf.sum<tf.Scalar>(tf.mul(tf.stack(all), 0));
    const factor = clipNorm === null ? 1 : tf.minimum(1, tf.div(clipNorm, tf.add(norm, 1e-6)));
    return tf.add(fault, factor);
  });
}

/** Only weights of linear layers decay; biases, norms, tokens and bias tables do not [MAE fine-tuning, AudioMAE: none on one axis]. */
export function decays(name: string, rank: number): boolean {
  return name.endsWith('.weight') && rank >= 2;
}

function update(
  state: TrainState,
  gradients: Record<string, tf.Tensor>,
  gradientScale: tf.Scalar,
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

function scalarsOf(tensors: Record<string, tf.Tensor>): Record<string, tf.Tensor> {
  return Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => tensor.size === 1));
}

async function readFigures(scalars: Record<string, tf.Tensor>): Promise<StepFigures> {
  const values = await Promise.all(
    Object.entries(scalars).map(
      async ([name, tensor]) => [name, (await tensor.data())[0]!] as const,
    ),
  );
  return Object.fromEntries(values) as unknown as StepFigures;
}

/** What is wrong with a step whose figures are not all finite; null where they are. */
function nonFinite(figures: StepFigures, { step, clips }: StepOptions): string | null {
  if (Object.values(figures).every(Number.isFinite)) return null;
  const terms = Object.entries(figures)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  return `step ${step}: expected finite losses and gradients, got ${terms}, with the clips ${clips.join(', ')}. Try: a lower learningRate, a clipNorm, or the last checkpoint; no weight was changed by this step`;
}
