// SPDX-License-Identifier: Apache-2.0
// The gradient of Einsum, which tfjs has none of: for an operand it is the einsum of dy with the other operand, repeated along the axes
// that only this operand has and the result lacks. For all backends that have the kernel Einsum.
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { broadcastTo } from '../gradients.ts';

/** Registers the gradient; again is harmless. */
export function registerEinsumGradient(): void {
  tf.registerGradient({
    kernelName: 'Einsum',
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const equation = (attrs['equation'] as string).replaceAll(/\s/g, '');
      const [inputs = '', output = ''] = equation.split('->');
      if (new Set(output).size < output.length) {
        throw new Error(`Einsum: expected a result of distinct indices, got ${equation}`);
      }
      const terms = inputs.split(',');
      const operands = terms.map((labels, i) => ({ labels, x: saved[i] as Tensor }));
      const result = { labels: output, x: dy as Tensor };
      return Object.fromEntries(
        operands.map((own, i) => [i, () => gradient(result, own, operands[1 - i])]),
      );
    },
  });
}

/** tf.einsum, which the lint rules keep out of ops that run on every backend: tfjs has no gradient for it, and wasm no kernel. */
export function einsum(equation: string, ...tensors: Tensor[]): Tensor {
  return tf.engine().runKernel('Einsum', tensors as unknown as tf.NamedTensorMap, { equation });
}

interface Operand {
  readonly labels: string;
  readonly x: Tensor;
}

function gradient(dy: Operand, own: Operand, other: Operand | undefined): Tensor {
  const reached = keep(own.labels, dy.labels + (other?.labels ?? ''));
  const shape = own.labels
    .split('')
    .map((label, i) => (reached.includes(label) ? own.x.shape[i]! : 1));
  const part =
    other === undefined ? einsum(`${dy.labels}->${reached}`, dy.x) : pair(dy, own, other);
  return broadcastTo(tf.reshape(part, shape), own.x.shape);
}

/** dy times the other operand, which is summed first over what neither dy nor the own operand has. */
function pair(dy: Operand, own: Operand, other: Operand): Tensor {
  const labels = keep(other.labels, dy.labels + own.labels);
  const axes = other.labels.split('').flatMap((label, i) => (labels.includes(label) ? [] : [i]));
  const factor = tf.cast(axes.length === 0 ? other.x : tf.sum(other.x, axes), 'float32');
  const reached = keep(own.labels, dy.labels + other.labels);
  return einsum(`${dy.labels},${labels}->${reached}`, dy.x, factor);
}

function keep(labels: string, among: string): string {
  return labels
    .split('')
    .filter((label) => among.includes(label))
    .join('');
}
