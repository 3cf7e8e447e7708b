// SPDX-License-Identifier: Apache-2.0
// Gradients by finite differences: the oracle of every gradient that was written by hand.
import * as tf from '@tensorflow/tfjs-core';

export interface FiniteDifferenceOptions {
  /** Step in each element. Default 0.01: with four points the error is step^4, and float32 noise is divided by the step. */
  readonly step?: number;
  /** Weight of each element of f's value, as the dy of a gradient. Default all 1. */
  readonly dy?: ArrayLike<number>;
}

/**
 * Gradients of sum(dy * f(...tensors)) with respect to every element of every tensor (float32, any shapes), by fourth-order
 * central differences; the sum is taken in double precision. Costs four calls of f for each element.
 */
export function finiteDifference(
  f: (...tensors: tf.Tensor[]) => tf.Tensor,
  tensors: readonly tf.Tensor[],
  { step = 1e-2, dy }: FiniteDifferenceOptions = {},
): Float64Array[] {
  const data = tensors.map((tensor) => Float32Array.from(tensor.dataSync()));
  const evaluate = (): number =>
    tf.tidy(() => {
      const copies = tensors.map((tensor, i) =>
        tf.tensor(data[i]!.slice(), tensor.shape, tensor.dtype),
      );
      const value = Float64Array.from(f(...copies).dataSync());
      return value.reduce((sum, x, i) => sum + x * (dy?.[i] ?? 1), 0);
    });
  return data.map((values, t) => {
    if (tensors[t]!.dtype !== 'float32') return new Float64Array(values.length);
    return Float64Array.from(values.keys(), (i) => {
      const x = values[i]!;
      const at = (offset: number): { loss: number; x: number } => {
        values[i] = x + offset;
        return { loss: evaluate(), x: values[i] };
      };
      const [far, near, mirroredNear, mirroredFar] = [2, 1, -1, -2].map((k) => at(k * step));
      values[i] = x;
      // The steps that float32 left of the ones asked for.
      const nearSlope = (near!.loss - mirroredNear!.loss) / (near!.x - mirroredNear!.x);
      const farSlope = (far!.loss - mirroredFar!.loss) / (far!.x - mirroredFar!.x);
      return (4 * nearSlope - farSlope) / 3;
    });
  });
}
