// SPDX-License-Identifier: Apache-2.0
// One optimizer step: loss and gradients, global norm, clip, AdamW, figures. Nothing is changed unless every figure is finite.
import { adamwRates, adamwUpdate, disposeTree, globalNorm, valueAndGrads } from '@diffmavil/core';
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

/** What steps of a run share. */
export interface StepConstants {
  readonly optimizer: OptimizerConfig;
  /** Learning-rate factor by weight name; absent: 1. */
  readonly learningRateScales?: Readonly<Record<string, number>>;
}

export interface StepOptions extends StepConstants {
  /** Steps done before this one. */
  readonly step: number;
  readonly learningRate: number;
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

/** A step on its way: `readStep` waits for it. */
export interface StartedStep {
  /** Weights and moments after it, or before it where a figure turns out not to be finite. */
  readonly state: TrainState;
  /** Its figures, each one value; `readStep` disposes them. */
  readonly figures: Readonly<Record<string, tf.Tensor>>;
}

type Loss = (parameters: TrainState['parameters']) => LossOutputs;

/**
 * Runs one step.
 * @param state Consumed: its tensors are disposed or reused by the returned state.
 * @throws NonFiniteError when a figure is not finite; its `state` has the values from before.
 */
export async function trainStep(
  state: TrainState,
  loss: Loss,
  options: StepOptions,
): Promise<{ state: TrainState; figures: StepFigures }> {
  return readStep(startStep(state, loss, options), options);
}

/** Starts a step and reads none of its values. @param state Consumed, as by `trainStep`. */
export function startStep(state: TrainState, loss: Loss, options: StepOptions): StartedStep {
  const rates = stepRates(options);
  try {
    return stepOf(state, loss, rates, options);
  } finally {
    rates.dispose();
  }
}

/** What of a step's optimizer changes from step to step, [3]. */
export function stepRates({ step, learningRate, optimizer }: StepOptions): tf.Tensor1D {
  return tf.tensor1d(adamwRates({ learningRate, step: step + 1 }, optimizer));
}

/**
 * Forward pass, backward pass, clipping and AdamW, as ops of tensors alone, so that a device can record it. The device decides by itself whether the
 * figures are finite, and changes nothing where they are not.
 * @param state Consumed, as by `trainStep`. @param rates As from `stepRates`.
 */
export function stepOf(
  state: TrainState,
  loss: Loss,
  rates: tf.Tensor1D,
  constants: StepConstants,
): StartedStep {
  const { outputs, grads, norm } = stepGradients(state.parameters, loss);
  const figures = scalarsOf({ ...outputs, gradientNorm: norm });
  const scale = updateScale(figures, norm, constants.optimizer.clipNorm);
  try {
    return { state: update(state, grads, scale, rates, constants), figures };
  } catch (error) {
    disposeTree(figures);
    throw error;
  } finally {
    const others = Object.values(outputs).filter((tensor) => tensor.size !== 1);
    disposeTree([others, grads, scale]);
  }
}

/** The forward and backward pass of a step. Reads no values. */
export function stepGradients(parameters: TrainState['parameters'], loss: Loss): StepGradients {
  const { outputs, grads } = valueAndGrads(() => loss(parameters), parameters);
  return { outputs, grads, norm: globalNorm(grads) };
}

/**
 * Waits for the figures of a step.
 * @throws NonFiniteError when a figure is not finite; its `state` has the values from before.
 */
export async function readStep(
  { state, figures }: StartedStep,
  options: StepOptions,
): Promise<{ state: TrainState; figures: StepFigures }> {
  try {
    const values = await readFigures(figures);
    const problem = nonFinite(values, options);
    if (problem !== null) throw new NonFiniteError(problem, state);
    return { state, figures: values };
  } finally {
    disposeTree(figures);
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
  rates: tf.Tensor1D,
  { optimizer, learningRateScales = {} }: StepConstants,
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
    { rates, beta1, beta2, epsilon, weightDecay, gradientScale, perParameter },
  );
}

function scalarsOf(tensors: Record<string, tf.Tensor>): Record<string, tf.Tensor> {
  return Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => tensor.size === 1));
}

async function readFigures(scalars: StartedStep['figures']): Promise<StepFigures> {
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
