// SPDX-License-Identifier: Apache-2.0
// The gradient of BatchMatMul. That of tfjs forgets that batch axes broadcast: the gradient of an
// operand that was repeated has to be summed over its repetitions. Registered in place of tfjs's,
// for all backends.
import * as tf from '@tensorflow/tfjs-core';

/** Registers the gradient; again is harmless. */
export function registerMatmulGradient(): void {
  tf.registerGradient({
    kernelName: 'BatchMatMul',
    inputsToSave: ['a', 'b'],
    gradFunc: (dy, saved, attrs) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const { transposeA, transposeB } = attrs as unknown as {
        readonly transposeA: boolean;
        readonly transposeB: boolean;
      };
      return {
        a: () => gradientOfA(dy as tf.Tensor, a, b, transposeA, transposeB),
        b: () => gradientOfB(dy as tf.Tensor, a, b, transposeA, transposeB),
      };
    },
  });
}

function gradientOfA(
  dy: tf.Tensor,
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA: boolean,
  transposeB: boolean,
): tf.Tensor {
  const gradient = transposeA
    ? tf.matMul(b, dy, transposeB, true)
    : tf.matMul(dy, b, false, !transposeB);
  return summedTo(gradient, a.shape);
}

function gradientOfB(
  dy: tf.Tensor,
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA: boolean,
  transposeB: boolean,
): tf.Tensor {
  const shared = b.shape.slice(0, -2).every((size) => size === 1);
  if (shared && !transposeA && a.rank > 2 && sameBatch(a, dy)) {
    // One product over the rows of all matrices instead of one a matrix and a sum.
    const left = tf.reshape(a, [-1, a.shape.at(-1) ?? 1]);
    const right = tf.reshape(dy, [-1, dy.shape.at(-1) ?? 1]);
    const gradient = transposeB ? tf.matMul(right, left, true) : tf.matMul(left, right, true);
    return tf.reshape(gradient, b.shape);
  }
  const gradient = transposeB
    ? tf.matMul(dy, a, true, transposeA)
    : tf.matMul(a, dy, !transposeA, false);
  return summedTo(gradient, b.shape);
}

function sameBatch(a: tf.Tensor, dy: tf.Tensor): boolean {
  return tf.util.arraysEqual(a.shape.slice(0, -2), dy.shape.slice(0, -2));
}

/** x summed over the axes along which `shape` was repeated. */
function summedTo(x: tf.Tensor, shape: number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, x.shape);
  return axes.length === 0 ? x : tf.reshape(tf.sum(x, axes), shape);
}
