// SPDX-License-Identifier: Apache-2.0
// Gradients of tfjs's own kernels that are better than the stock ones, on every backend. Kernels that only this package has are replaced
// by plain tfjs ops elsewhere.
//
// Sum and Mean repeat dy instead of multiplying it with ones, and on our backend save no input; SquaredDifference takes operands that
// broadcast, where the stock gradient throws; Softmax is one kernel.
import * as tf from '@tensorflow/tfjs-core';
import type { GradConfig, NamedAttrMap, Tensor } from '@tensorflow/tfjs-core';
import { NativeBackend } from './backend.ts';
import { isShapeNoted, notedShape } from './reduced-shapes.ts';

/** Replaces the stock gradients. */
export function registerGradients(): void {
  const configs: readonly GradConfig[] = [
    reduction('Sum', () => 1),
    reduction('Mean', (elements) => elements),
    squaredDifference,
    softmax,
    broadcastToGradient,
    softmaxGradGradient,
  ];
  for (const config of configs) tf.registerGradient(config);
}

function reduction(kernelName: string, divisor: (elements: number) => number): GradConfig {
  return {
    kernelName,
    get inputsToSave() {
      return tf.backend() instanceof NativeBackend && isShapeNoted() ? [] : ['x'];
    },
    gradFunc: (dy, saved, attrs) => {
      const shape = saved[0]?.shape ?? notedShape(attrs);
      if (shape === undefined) {
        throw new Error(
          `${kernelName}: expected the shape of its input, got none for its gradient`,
        );
      }
      const axes = tf.util.parseAxisParam(attrs['axis'] as number[], [...shape]);
      const kept = shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
      const elements = axes.reduce((product, axis) => product * (shape[axis] ?? 1), 1);
      return {
        x: () => broadcastTo(tf.reshape(one(dy), kept), shape, divisor(elements)),
      };
    },
  };
}

/** x repeated to a shape of the same rank, divided by a number. */
export function broadcastTo(x: Tensor, shape: readonly number[], divisor = 1): Tensor {
  if (hasKernel('DmBroadcastTo'))
    return run('DmBroadcastTo', { x }, { shape: [...shape], divisor });
  // Not tf.broadcastTo, which leaves axes alone that become empty.
  const repeated = tf.tile(
    x,
    shape.map((length, axis) => (x.shape[axis] === length ? 1 : length)),
  );
  return divisor === 1 ? repeated : tf.div(repeated, divisor);
}

const broadcastToGradient: GradConfig = {
  kernelName: 'DmBroadcastTo',
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => ({
    x: () => tf.div(sumTo(one(dy), first(saved).shape), attrs['divisor'] as number),
  }),
};

const squaredDifference: GradConfig = {
  kernelName: 'SquaredDifference',
  inputsToSave: ['a', 'b'],
  gradFunc: (dy, saved) => {
    const [a, b] = saved as [Tensor, Tensor];
    const half = (x: Tensor, y: Tensor): Tensor =>
      sumTo(tf.mul(one(dy), tf.mul(tf.sub(x, y), 2)), x.shape);
    return { a: () => half(a, b), b: () => half(b, a) };
  },
};

const softmax: GradConfig = {
  kernelName: 'Softmax',
  outputsToSave: [true],
  gradFunc: (dy, saved) => ({ logits: () => softmaxGrad(one(dy), first(saved)) }),
};

/** y (dy - sum of dy y), the sum over the last axis. */
function softmaxGrad(dy: Tensor, y: Tensor): Tensor {
  if (hasKernel('DmSoftmaxGrad')) return run('DmSoftmaxGrad', { dy, y }, {});
  return tf.mul(y, tf.sub(dy, tf.sum(tf.mul(dy, y), -1, true)));
}

const softmaxGradGradient: GradConfig = {
  kernelName: 'DmSoftmaxGrad',
  inputsToSave: ['dy', 'y'],
  gradFunc: (upstream, saved) => {
    const v = one(upstream);
    const [dy, y] = saved as [Tensor, Tensor];
    const dot = (a: Tensor, b: Tensor): Tensor => tf.sum(tf.mul(a, b), -1, true);
    return {
      dy: () => softmaxGrad(v, y),
      y: () => tf.sub(tf.mul(v, tf.sub(dy, dot(dy, y))), tf.mul(dy, dot(v, y))),
    };
  },
};

/** Sums over the axes that broadcasting added or widened. */
function sumTo(x: Tensor, shape: number[]): Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, x.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(x, axes) : x, shape);
}

function hasKernel(name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined;
}

function run(name: string, inputs: tf.NamedTensorMap, attrs: NamedAttrMap): Tensor {
  return tf.engine().runKernel(name, inputs, attrs);
}

/** These kernels have one output. */
function one(dy: Tensor | Tensor[]): Tensor {
  return Array.isArray(dy) ? first(dy) : dy;
}

function first(tensors: readonly Tensor[]): Tensor {
  return tensors[0] as Tensor;
}
