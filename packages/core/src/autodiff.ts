// SPDX-License-Identifier: Apache-2.0
// Values and gradients of a function of parameters, with half the peak memory of tf.variableGrads (docs/memory.md).
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, ShapeError } from './errors.ts';
import { shapeOf } from './shapes.ts';
import { backpropagate } from './tape.ts';
import {
  alias,
  checkTfjsVersion,
  disposeSaved,
  filled,
  hold,
  isOfActiveScope,
  record,
  release,
  withoutTape,
  type TapeNode,
} from './tfjs-engine.ts';
import { disposeTree } from './trees.ts';

const where = 'valueAndGrads';

export type ParameterRecord = Readonly<Record<string, tf.Tensor>>;

/** What f returned, and the gradient of `outputs.loss` for each parameter; the caller disposes both. */
export interface ValueAndGrads<Outputs, Parameters> {
  readonly outputs: Outputs;
  readonly grads: { [name in keyof Parameters]: tf.Tensor };
}

export interface ValueAndGradsOptions {
  /**
   * Called as soon as the gradient of a parameter is final, while the backward pass still runs (a reduction across ranks can
   * start); at the end for parameters that the loss does not depend on. The gradient is borrowed.
   */
  readonly onGradient?: (name: string, gradient: tf.Tensor) => void;
}

/**
 * Runs `f` and returns its outputs with the gradients of `loss` for the parameters.
 *
 * Each saved activation and each intermediate gradient is freed as soon as it is used. Parameters that the loss does not
 * depend on get zeros. `f` is synchronous and returns a flat record of tensors with a scalar float32 `loss`; whatever else it
 * makes is disposed. Inside another gradient, outputs and gradients count as constants: there are no second derivatives.
 *
 * @throws ShapeError for a loss or parameter of the wrong shape or dtype, ConfigError for an async `f` or an untried tfjs-core;
 * nothing is left behind when it, `f` or `onGradient` throws.
 */
export function valueAndGrads<
  Outputs extends { readonly loss: tf.Tensor },
  const Parameters extends ParameterRecord,
>(
  f: () => Outputs,
  parameters: Parameters,
  { onGradient }: ValueAndGradsOptions = {},
): ValueAndGrads<Outputs, Parameters> {
  checkTfjsVersion(where);
  const targets = Object.values(parameters);
  const names = namesById(parameters);
  const { outputs, loss, tape } = forward(f);
  const grads: Record<string, tf.Tensor> = {};
  try {
    const dy = hold(filled([], 1));
    try {
      const onFinal = (id: number, gradient: tf.Tensor): void => {
        for (const name of names.get(id) ?? []) onGradient?.(name, gradient);
      };
      const byId = backpropagate({ tape, y: loss, dy, targets, onFinal });
      for (const [id, gradient] of byId) {
        for (const [i, name] of (names.get(id) ?? []).entries()) {
          grads[name] = i === 0 ? gradient : hold(alias(gradient));
        }
      }
    } finally {
      dy.dispose();
    }
    for (const [name, parameter] of Object.entries(parameters)) {
      if (grads[name] !== undefined) continue;
      grads[name] = hold(filled(parameter.shape, 0));
      onGradient?.(name, grads[name]);
    }
  } catch (error) {
    disposeTree([grads, outputs]);
    throw error;
  }
  const ordered = Object.keys(parameters).map((name) => [name, release(grads[name]!)]);
  return { outputs, grads: Object.fromEntries(ordered) as Record<keyof Parameters, tf.Tensor> };
}

/**
 * Runs `f` and keeps nothing for a backward pass: what it returns counts as constant, and what it computes on the way can be
 * freed at once. For targets of a frozen model inside `valueAndGrads`.
 */
export function withoutGradients<T>(f: () => T): T {
  checkTfjsVersion('withoutGradients');
  return withoutTape(f);
}

interface Forward<Outputs> {
  /** Tensors of their own, also where f returned a parameter. */
  readonly outputs: Outputs;
  /** The loss as the tape knows it. */
  readonly loss: tf.Tensor;
  readonly tape: TapeNode[];
}

function forward<Outputs extends { readonly loss: tf.Tensor }>(f: () => Outputs): Forward<Outputs> {
  let recorded: { readonly result: Outputs; readonly tape: TapeNode[] } | undefined;
  const run = (): tf.TensorContainer => {
    recorded = record(f);
    checkOutputs(recorded.result);
    const own = Object.entries(recorded.result).map(([name, value]: [string, unknown]) => [
      name,
      value instanceof tf.Tensor && !isOfActiveScope(value) ? alias(value) : value,
    ]);
    return Object.fromEntries(own) as tf.TensorContainer;
  };
  try {
    const outputs = tf.tidy(run) as unknown as Outputs;
    const { result, tape } = recorded!;
    return { outputs, loss: result.loss, tape };
  } catch (error) {
    disposeSaved(recorded?.tape ?? []);
    throw error;
  }
}

function checkOutputs(outputs: unknown): void {
  if (outputs instanceof Promise) {
    throw new ConfigError(
      `${where}: expected f to return a record of tensors, got a promise. ` +
        'Try: await what f needs before the call',
    );
  }
  const loss = (outputs as { readonly loss?: unknown } | null | undefined)?.loss;
  if (!(loss instanceof tf.Tensor)) {
    throw new ShapeError(
      `${where}: expected f to return a record whose loss is a tensor, got a loss of type ${typeof loss}`,
    );
  }
  shapeOf(loss, '[]', `${where}: loss`);
  if (loss.dtype !== 'float32') {
    throw new ShapeError(`${where}: loss: expected float32, got ${loss.dtype}`);
  }
}

/** A tensor may be a parameter under several names. */
function namesById(parameters: ParameterRecord): Map<number, string[]> {
  const names = new Map<number, string[]>();
  for (const [name, { id, dtype }] of Object.entries(parameters)) {
    if (dtype !== 'float32') {
      throw new ShapeError(`${where}: parameter ${name}: expected float32, got ${dtype}`);
    }
    names.set(id, [...(names.get(id) ?? []), name]);
  }
  return names;
}
