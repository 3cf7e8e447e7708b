// SPDX-License-Identifier: Apache-2.0
// The one mechanism behind every op: a kernel by name, with a composed version made of plain tfjs
// ops that is registered for a backend the first time the op runs there and the backend brings no
// kernel of that name; and a gradient registered once by kernel name, which holds for composed and
// native kernels alike.
import * as tf from '@tensorflow/tfjs-core';
import { DeviceError } from '../errors.ts';

/**
 * Arithmetic of the matrix products and of what an op saves for its gradient; softmax sums,
 * statistics, gradients of parameters and everything that tfjs sees stay float32. Composed kernels
 * know 'float32' only.
 */
export type Precision = 'float32' | 'bfloat16';

/**
 * Tensors by name. An optional input that no gradient needs is a missing key, never a key of
 * undefined: tfjs's tape reads each.
 */
type Tensors = { readonly [name: string]: tf.Tensor | undefined };

/** A kernel: its tfjs name, and the same arithmetic in plain tfjs ops. */
export interface Kernel<Inputs, Attributes> {
  readonly name: string;
  /** Runs inside a tidy, with no tape. Must not return one of its inputs. */
  readonly composed: (inputs: Inputs, attributes: Attributes) => readonly tf.Tensor[];
  /**
   * Whether `composed` hands `precision` on to kernels that have it or refuse it themselves;
   * default false: plain tfjs ops know 'float32' only.
   */
  readonly handsPrecisionOn?: boolean;
}

/** Names a kernel and its composed version; nothing is registered until `runKernel` needs it. */
export function defineKernel<Inputs extends Tensors, Attributes extends object>(
  kernel: Kernel<Inputs, Attributes>,
): Kernel<Inputs, Attributes> {
  return kernel;
}

/**
 * Runs a kernel on the active backend and returns all its outputs; the caller (or its tidy)
 * disposes them.
 *
 * @throws DeviceError when `attributes.precision` is 'bfloat16' and the backend has no kernel of
 * its own.
 */
export function runKernel<Inputs extends Tensors, Attributes extends object>(
  kernel: Kernel<Inputs, Attributes>,
  inputs: Inputs,
  attributes: Attributes,
): tf.Tensor[] {
  const engine = tf.engine();
  const backendName = tf.getBackend() || initialisedBackend();
  if (tf.getKernel(kernel.name, backendName) === undefined) registerComposed(kernel, backendName);
  const present: Record<string, tf.Tensor> = {};
  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor !== undefined) present[name] = tensor;
  }
  // Typed by tfjs as one tensor, but an array when the kernel returns an array.
  const outputs: unknown = engine.runKernel(
    kernel.name,
    present,
    attributes as unknown as tf.NamedAttrMap,
  );
  return Array.isArray(outputs) ? (outputs as tf.Tensor[]) : [outputs as tf.Tensor];
}

/**
 * Gives a kernel its gradient. `inputs` and `outputs` name what to save: only what `gradient`
 * reads. An output that is not saved is an empty string; outputs that a call does not have come
 * last.
 *
 * `gradient` gets the gradient of the first output (the others carry saved values and have none),
 * and returns gradients by input name; inputs that it leaves out (indices, keys, scales) cannot be
 * differentiated. A gradient given as a function is computed only where somebody asks for it.
 */
export function defineGradient<
  Inputs extends Tensors,
  Attributes extends object,
  const SavedInput extends string & keyof Inputs,
  const SavedOutput extends string = '',
>(
  kernel: Kernel<Inputs, Attributes>,
  config: {
    readonly inputs: readonly SavedInput[];
    readonly outputs?: readonly SavedOutput[];
    readonly gradient: (
      dy: tf.Tensor,
      saved: Readonly<Record<SavedInput | Exclude<SavedOutput, ''>, tf.Tensor>>,
      attributes: Attributes,
    ) => Readonly<Record<string, tf.Tensor | (() => tf.Tensor) | undefined>>;
  },
): void {
  const outputs = config.outputs ?? [];
  const names: string[] = [...config.inputs, ...outputs.filter((name) => name !== '')];
  tf.registerGradient({
    kernelName: kernel.name,
    inputsToSave: [...config.inputs],
    outputsToSave: outputs.map((name) => name !== ''),
    gradFunc: (dys, savedTensors, attributes) => {
      const dy = Array.isArray(dys) ? dys[0] : dys;
      if (dy === undefined) throw new Error(`${kernel.name}: no gradient of the first output`);
      const saved: Record<string, tf.Tensor> = {};
      for (const [i, tensor] of savedTensors.entries()) saved[names[i] ?? ''] = tensor;
      // Run now, not inside the closures: each closure has a tidy of its own, which would dispose
      // the others' results.
      const gradients = config.gradient(
        dy,
        saved as Record<SavedInput | Exclude<SavedOutput, ''>, tf.Tensor>,
        attributes as unknown as Attributes,
      );
      const closures: Record<string, () => tf.Tensor> = {};
      for (const [name, gradient] of Object.entries(gradients)) {
        if (typeof gradient === 'function') closures[name] = gradient;
        else if (gradient !== undefined) closures[name] = () => gradient;
      }
      return closures;
    },
  });
}

/**
 * What stands for an absent optional input that the gradient would save: tfjs saves a fixed list of
 * inputs, so each must be there. Kernels read a tensor of no elements as "absent" (`isAbsent`).
 */
export function absent(): tf.Tensor {
  return tf.tensor1d([], 'float32');
}

/** Whether a kernel input stands for nothing. */
export function isAbsent(x: { readonly shape: readonly number[] }): boolean {
  return x.shape.length === 1 && x.shape[0] === 0;
}

/** The only output of a kernel, or one by its place. */
export function output(outputs: readonly tf.Tensor[], index = 0): tf.Tensor {
  const tensor = outputs[index];
  if (tensor === undefined) throw new Error(`expected a kernel with output ${index}`);
  return tensor;
}

function initialisedBackend(): string {
  tf.backend(); // chooses and starts the best backend when none is active yet
  return tf.getBackend();
}

function registerComposed<Inputs, Attributes extends object>(
  kernel: Kernel<Inputs, Attributes>,
  backendName: string,
): void {
  tf.registerKernel({
    kernelName: kernel.name,
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const attributes = attrs as unknown as Attributes & { readonly precision?: Precision };
      if (attributes.precision === 'bfloat16' && kernel.handsPrecisionOn !== true) {
        throw missingPrecision(kernel.name, backendName);
      }
      return tf.tidy(() => [...kernel.composed(inputs as unknown as Inputs, attributes)]);
    },
  });
}

function missingPrecision(kernelName: string, backendName: string): DeviceError {
  const where = kernelName.charAt(2).toLowerCase() + kernelName.slice(3);
  return new DeviceError(
    `${where}: expected a backend with bfloat16 kernels for precision 'bfloat16', got '${backendName}'. ` +
      `Try: precision 'float32', or the backend 'diffmavil-cpu' or 'diffmavil-cuda' of @diffmavil/native.`,
  );
}
