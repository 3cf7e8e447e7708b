// SPDX-License-Identifier: Apache-2.0
// adamwUpdate: one AdamW step (arXiv 1711.05101) of all parameters in one call, with the arithmetic
// of PyTorch's AdamW, where gradient is the given gradient times gradientScale (clipping):
//   parameter *= 1 - learningRate * weightDecay
//   first      = beta1 * first + (1 - beta1) * gradient
//   second     = beta2 * second + (1 - beta2) * gradient^2
//   denominator = sqrt(second) / sqrt(1 - beta2^step) + epsilon
//   parameter -= learningRate / (1 - beta1^step) * first / denominator
// Where gradientScale is not finite, all of them stay what they were.
//
// n parameters of any shapes.
// Attributes: rateScales and weightDecays (n each), beta1, beta2, epsilon.
// Kernel DmAdamwUpdate, inputs by number: of parameter i its value 4i, gradient 4i + 1, first 4i + 2
//   and second 4i + 3; gradientScale [] 4n; rates [3] 4n + 1 (`adamwRates`) -> n parameters, n firsts,
//   n seconds. A native kernel may return the buffers it was given (with their reference counts
//   raised): the op disposes the old tensors.
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, ShapeError } from '../errors.ts';
import { formatShape, shapeOf } from '../shapes.ts';
import { defineKernel, runKernel } from './kernel.ts';

type Tensors = Readonly<Record<string, tf.Tensor>>;

/** Parameters and moments under the same names; gradients of the same names. */
export interface AdamwState {
  readonly parameters: Tensors;
  readonly gradients: Tensors;
  readonly firstMoments: Tensors;
  readonly secondMoments: Tensors;
}

/** What changes from update to update, as numbers. */
export interface AdamwSchedule {
  readonly learningRate: number;
  /** Of this update, counted from 1. */
  readonly step: number;
}

/**
 * What all updates share, and the numbers of this one; or the tensor [3] that `adamwRates` makes of them, with which an update
 * can be recorded and replayed.
 */
export type AdamwOptions = AdamwConstants & (AdamwSchedule | { readonly rates: tf.Tensor1D });

export interface AdamwConstants {
  readonly beta1: number;
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled: multiplied by the learning rate. */
  readonly weightDecay: number;
  /**
   * Multiplies every gradient first; a scalar tensor stays on its device. Default 1. Where it is not
   * finite nothing is updated: a step can be called off without anybody waiting for its figures.
   */
  readonly gradientScale?: number | tf.Scalar;
  /** By parameter name; names that are missing use scale 1 and the common weight decay. */
  readonly perParameter?: Readonly<
    Record<string, { readonly learningRateScale?: number; readonly weightDecay?: number }>
  >;
}

export interface AdamwResult {
  readonly parameters: Record<string, tf.Tensor>;
  readonly firstMoments: Record<string, tf.Tensor>;
  readonly secondMoments: Record<string, tf.Tensor>;
}

interface Attributes {
  /** Learning-rate factors. */
  readonly rateScales: readonly number[];
  readonly weightDecays: readonly number[];
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Of the four inputs of a parameter. */
const parts = { parameter: 0, gradient: 1, first: 2, second: 3 } as const;

const kernel = defineKernel<Tensors, Attributes>({
  name: 'DmAdamwUpdate',
  composed: (inputs, attributes) => {
    const count = attributes.rateScales.length;
    const results: tf.Tensor[] = Array.from({ length: 3 * count });
    for (const places of groups(attributes)) {
      const updated = updateGroup(inputs, places, attributes);
      for (const [part, tensors] of updated.entries()) {
        for (const [i, place] of places.entries()) results[part * count + place] = tensors[i]!;
      }
    }
    return results;
  },
});

/**
 * The numbers of an update as its kernel reads them, 3 values: learningRate; learningRate / (1 - beta1^step);
 * 1 / sqrt(1 - beta2^step).
 *
 * @throws ConfigError when step is not 1 or more.
 */
export function adamwRates(
  { learningRate, step }: AdamwSchedule,
  { beta1, beta2 }: Pick<AdamwConstants, 'beta1' | 'beta2'>,
): Float32Array {
  if (!(Number.isInteger(step) && step >= 1)) {
    throw new ConfigError(`adamwUpdate: expected a step counted from 1, got ${step}`);
  }
  const [first, second] = [1 - beta1 ** step, 1 - beta2 ** step];
  return Float32Array.of(learningRate, learningRate / first, 1 / Math.sqrt(second));
}

/**
 * One AdamW step. Consumes the old parameters and moments, but not the gradients, and returns those
 * of the next step, which the caller owns: new tensors, the old ones being disposed, or the old
 * ones with new values.
 *
 * @throws ShapeError when a gradient or moment is missing or of another shape. ConfigError when
 * step is not 1 or more; nothing is disposed then.
 */
export function adamwUpdate(state: AdamwState, options: AdamwOptions): AdamwResult {
  const names = check(state, options);
  const { parameters, gradients, firstMoments, secondMoments } = state;
  const { beta1, beta2, epsilon, gradientScale = 1 } = options;
  const inputs = names.flatMap((name) => [
    parameters[name]!,
    gradients[name]!,
    firstMoments[name]!,
    secondMoments[name]!,
  ]);
  const attributes = { ...scales(names, options), beta1, beta2, epsilon };
  const updated = tf.tidy(() => {
    const scale = typeof gradientScale === 'number' ? tf.scalar(gradientScale) : gradientScale;
    const all = [...inputs, scale, ratesOf(options)];
    return runKernel(kernel, Object.fromEntries(all.entries()), attributes);
  });
  if (updated.length === 0 && names.length > 0) {
    return {
      parameters: { ...parameters },
      firstMoments: { ...firstMoments },
      secondMoments: { ...secondMoments },
    };
  }
  tf.dispose([parameters, firstMoments, secondMoments]);
  const record = (part: number): Record<string, tf.Tensor> =>
    Object.fromEntries(names.map((name, i) => [name, updated[part * names.length + i]!]));
  return { parameters: record(0), firstMoments: record(1), secondMoments: record(2) };
}

/** `adamwUpdate` in plain tfjs ops, parameter by parameter. Disposes nothing. */
export function adamwUpdateReference(state: AdamwState, options: AdamwOptions): AdamwResult {
  const names = check(state, options);
  const { rateScales, weightDecays } = scales(names, options);
  const { beta1, beta2, epsilon, gradientScale = 1 } = options;
  const result: AdamwResult = { parameters: {}, firstMoments: {}, secondMoments: {} };
  for (const [i, name] of names.entries()) {
    const [rateScale, decay] = [rateScales[i]!, weightDecays[i]!];
    const [parameter, first, second] = tf.tidy(() => {
      const [rate, firstRate, rootScale] = tf
        .split(ratesOf(options), 3)
        .map((x) => tf.reshape(x, []));
      const gradient = tf.mul(state.gradients[name]!, gradientScale);
      const first = tf.add(tf.mul(state.firstMoments[name]!, beta1), tf.mul(gradient, 1 - beta1));
      const second = tf.add(
        tf.mul(state.secondMoments[name]!, beta2),
        tf.mul(tf.square(gradient), 1 - beta2),
      );
      const root = tf.mul(tf.sqrt(second), rootScale!);
      const step = tf.div(tf.mul(first, firstRate!), tf.add(root, epsilon));
      const change = tf.mul(step, rateScale);
      const kept = tf.sub(1, tf.mul(rate!, rateScale * decay));
      const decayed = tf.mul(state.parameters[name]!, kept);
      const applies = tf.isFinite(gradientScale);
      return [
        tf.where(applies, tf.sub(decayed, change), state.parameters[name]!),
        tf.where(applies, first, state.firstMoments[name]!),
        tf.where(applies, second, state.secondMoments[name]!),
      ] as const;
    });
    result.parameters[name] = parameter;
    result.firstMoments[name] = first;
    result.secondMoments[name] = second;
  }
  return result;
}

/** Places of parameters with the same rate and decay, so that each group is one long vector. */
function groups({ rateScales, weightDecays }: Attributes): number[][] {
  const byRates = new Map<string, number[]>();
  for (const [place, scale] of rateScales.entries()) {
    const key = `${scale} ${weightDecays[place]}`;
    const group = byRates.get(key);
    if (group === undefined) byRates.set(key, [place]);
    else group.push(place);
  }
  return [...byRates.values()];
}

/**
 * New parameters, first and second moments of a group. Works on their values in one row: few kernel
 * calls for many tensors.
 */
function updateGroup(
  inputs: Tensors,
  places: readonly number[],
  { rateScales, weightDecays, beta1, beta2, epsilon }: Attributes,
): tf.Tensor[][] {
  const shapes = places.map((place) => inputs[4 * place]!.shape);
  const row = (part: keyof typeof parts): tf.Tensor1D => {
    const pieces = places.map((place) =>
      tf.reshape<tf.Rank.R1>(inputs[4 * place + parts[part]]!, [-1]),
    );
    return pieces.length === 1 ? pieces[0]! : tf.concat(pieces);
  };
  const pieces = (values: tf.Tensor1D): tf.Tensor[] => {
    const sizes = shapes.map((shape) => shape.reduce((product, n) => product * n, 1));
    const split = sizes.length === 1 ? [values] : tf.split(values, sizes);
    return split.map((piece, i) => tf.reshape(piece, shapes[i]!));
  };
  const rateScale = rateScales[places[0]!]!;
  const decay = weightDecays[places[0]!]!;
  const scale = inputs[4 * rateScales.length]!;
  const rates = inputs[4 * rateScales.length + 1] as tf.Tensor1D;
  const [rate, firstRate, rootScale] = tf.split(rates, 3);
  const old = { parameter: row('parameter'), first: row('first'), second: row('second') };
  const gradient = tf.mul(row('gradient'), scale);
  const first: tf.Tensor1D = tf.add(tf.mul(old.first, beta1), tf.mul(gradient, 1 - beta1));
  const squared = tf.mul(tf.square(gradient), 1 - beta2);
  const second: tf.Tensor1D = tf.add(tf.mul(old.second, beta2), squared);
  const root = tf.mul(tf.sqrt(second), rootScale!);
  const change = tf.mul(tf.div(first, tf.add(root, epsilon)), tf.mul(firstRate!, rateScale));
  const kept = tf.sub(1, tf.mul(rate!, rateScale * decay));
  const parameter: tf.Tensor1D = tf.sub(tf.mul(old.parameter, kept), change);
  const applies = tf.isFinite(scale);
  return [
    tf.where(applies, parameter, old.parameter),
    tf.where(applies, first, old.first),
    tf.where(applies, second, old.second),
  ].map(pieces);
}

/** [3]; made here where they are numbers. */
function ratesOf(options: AdamwOptions): tf.Tensor1D {
  return 'rates' in options ? options.rates : tf.tensor1d(adamwRates(options, options));
}

function scales(
  names: readonly string[],
  { weightDecay, perParameter = {} }: AdamwOptions,
): Pick<Attributes, 'rateScales' | 'weightDecays'> {
  return {
    rateScales: names.map((name) => perParameter[name]?.learningRateScale ?? 1),
    weightDecays: names.map((name) => perParameter[name]?.weightDecay ?? weightDecay),
  };
}

function check(state: AdamwState, options: AdamwOptions): string[] {
  if ('rates' in options) shapeOf(options.rates, '[3]', 'adamwUpdate: rates');
  const names = Object.keys(state.parameters);
  for (const part of ['gradients', 'firstMoments', 'secondMoments'] as const) {
    for (const name of names) {
      const { shape } = state.parameters[name]!;
      const tensor = state[part][name];
      if (tensor !== undefined && tf.util.arraysEqual(tensor.shape, shape)) continue;
      const got = tensor === undefined ? 'nothing' : formatShape(tensor.shape);
      throw new ShapeError(
        `adamwUpdate: ${part} of ${name}: expected ${formatShape(shape)}, got ${got}`,
      );
    }
  }
  return names;
}
