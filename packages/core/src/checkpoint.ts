// SPDX-License-Identifier: Apache-2.0
// Gradient checkpointing: keep the inputs of a stretch of the model instead of its activations, and run it again on the way
// back. Trades one more forward pass of the stretch for its memory (Chen et al., arXiv 1604.06174).
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from './errors.ts';
import { formatShape } from './shapes.ts';
import { backpropagate, isDifferentiated, isWanted } from './tape.ts';
import {
  alias,
  checkTfjsVersion,
  disposeSaved,
  engineInternals,
  filled,
  hold,
  isOfActiveScope,
  record,
  recordNode,
  release,
  withoutTape,
  type TapeNode,
} from './tfjs-engine.ts';

const where = 'checkpoint';

/**
 * `fn(...inputs)`, of which only the inputs are kept for the backward pass; `fn` runs again there. The gradients are those of
 * `fn(...inputs)` to the last bit, but for inputs that are used outside `fn` too: theirs are summed in another order.
 *
 * Every tensor that gradients should reach, parameters too, must be among the inputs: other tensors that `fn` uses count as
 * constants. `fn` is synchronous, keyed (the same inputs give the same value) and returns one float32 tensor. Checkpoints may
 * be nested. Integer inputs get no gradient.
 *
 * @throws ConfigError in the backward pass of `valueAndGrads` when `fn` captures a tensor that gradients should reach.
 */
export function checkpoint(
  fn: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: readonly tf.Tensor[],
): tf.Tensor {
  checkTfjsVersion(where);
  if (!engineInternals().isTapeOn()) return run(fn, inputs);
  const y = withoutTape(() => run(fn, inputs));
  const saved = withoutTape(() => inputs.map((x) => hold(alias(x))));
  recordNode({
    kernelName: where,
    inputs: Object.fromEntries(inputs.entries()),
    outputs: [y],
    saved,
    gradient: ([dy]) => backward(fn, dy!, inputs, saved),
  });
  return y;
}

/** Runs fn; its result is a tensor of its own, also when fn returns an input. */
function run(fn: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: readonly tf.Tensor[]): tf.Tensor {
  return tf.tidy(() => {
    const y: unknown = fn(...inputs);
    if (!(y instanceof tf.Tensor) || y.dtype !== 'float32') {
      const got = y instanceof tf.Tensor ? `a tensor of dtype ${y.dtype}` : typeof y;
      throw new ConfigError(`${where}: expected fn to return one float32 tensor, got ${got}`);
    }
    return isOfActiveScope(y) ? y : alias(y);
  });
}

function backward(
  fn: (...inputs: tf.Tensor[]) => tf.Tensor,
  dy: tf.Tensor,
  inputs: readonly tf.Tensor[],
  saved: readonly tf.Tensor[],
): Record<string, () => tf.Tensor> {
  const wanted = saved.filter((x, i) => x.dtype === 'float32' && isWanted(inputs[i]!.id));
  const { result: y, tape } = record(() => run(fn, saved));
  y.dispose(); // Its id is all that is needed from here on.
  try {
    checkCaptures(tape, saved);
  } catch (error) {
    disposeSaved(tape);
    throw error;
  }
  const gradients = backpropagate({ tape, y, dy, targets: wanted });
  const closures: Record<string, () => tf.Tensor> = {};
  for (const [i, x] of saved.entries()) {
    if (!wanted.includes(x)) continue;
    const gradient = release(gradients.get(x.id) ?? hold(filled(x.shape, 0)));
    closures[i] = () => gradient;
  }
  return closures;
}

function checkCaptures(tape: readonly TapeNode[], saved: readonly tf.Tensor[]): void {
  const own = new Set(saved.map((x) => x.id));
  for (const node of tape) {
    for (const x of Object.values(node.inputs)) {
      if (!own.has(x?.id) && isDifferentiated(x?.id)) {
        throw new ConfigError(
          `${where}: expected every tensor with a gradient among the inputs, got another one ` +
            `of shape ${formatShape(x.shape)} used by fn. Try: pass it in inputs`,
        );
      }
    }
    for (const output of node.outputs) own.add(output.id);
  }
}
