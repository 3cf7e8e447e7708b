// SPDX-License-Identifier: Apache-2.0
// The gradient of GatherV2. tfjs's own adds up one slice after another in plain ops, loops over the batch for batchDims 1, and throws for
// more; on backends that have the kernel DmGatherV2Grad one call takes its place, for any axis and batchDims.
import * as tf from '@tensorflow/tfjs-core';
import type { GradConfig, NamedAttrMap, NamedTensorMap, Tensor } from '@tensorflow/tfjs-core';

const kernelName = 'DmGatherV2Grad';

/** Replaces the stock gradient, which other backends keep. */
export function registerGatherGradient(): void {
  const stock = tf.getGradient('GatherV2') as GradConfig | undefined;
  tf.registerGradient({
    kernelName: 'GatherV2',
    inputsToSave: ['x', 'indices'],
    gradFunc: (dy, saved, attrs) => {
      if (tf.getKernel(kernelName, tf.getBackend()) === undefined) {
        if (stock === undefined) throw new Error('GatherV2: expected a gradient, got none');
        return stock.gradFunc(dy, saved, attrs);
      }
      const [x, indices] = saved as [Tensor, Tensor];
      const { axis, batchDims } = attrs as { axis: number; batchDims?: number };
      const place = { axis, batchDims: batchDims ?? 0, shape: x.shape };
      return { x: () => run({ dy: dy as Tensor, indices }, place) };
    },
  });
  tf.registerGradient({
    kernelName,
    inputsToSave: ['indices'],
    gradFunc: (dy, saved, attrs) => {
      const [indices] = saved as [Tensor];
      const { axis, batchDims } = attrs as { axis: number; batchDims: number };
      return { dy: () => tf.gather(dy as Tensor, indices, axis, batchDims) };
    },
  });
}

function run(inputs: NamedTensorMap, attrs: NamedAttrMap): Tensor {
  return tf.engine().runKernel(kernelName, inputs, attrs);
}
