// SPDX-License-Identifier: Apache-2.0
// Kernels of our own backend on more than the caches hold: x of `given` alone has about 64 MiB or more.
import * as tf from '@tensorflow/tfjs-core';
import { affine, bytesOf, float32, indices, normal, rowsOf } from './op-case.ts';
import type { OpCase, Phase, Tensors } from './op-case.ts';

interface MemoryOp {
  readonly name: string;
  readonly given: (share: number) => Tensors;
  readonly forward: KernelCall;
  /** Reads what `forward` reads and makes, and dy. */
  readonly backward?: KernelCall & { readonly made: readonly string[] };
}

interface KernelCall {
  readonly kernel: string;
  /** Names; `x:logits` where the kernel calls x otherwise. */
  readonly inputs: readonly string[];
  readonly attributes?: tf.NamedAttrMap;
  /** What it reads and writes, in sizes of x. */
  readonly moved: number;
}

function memoryOp({ name, given, forward, backward }: MemoryOp): OpCase {
  return {
    name: `from memory: ${name}`,
    precisions: float32,
    alone: true,
    make: (share) => {
      const tensors = given(share);
      const call = ({ kernel, inputs, attributes = {} }: KernelCall): tf.Tensor[] => {
        const picked = Object.fromEntries(
          inputs.map((input) => [input.split(':').at(-1)!, tensors[input.split(':')[0]!]!]),
        );
        return [tf.engine().runKernel(kernel, picked, attributes)].flat();
      };
      const phase = (phaseName: Phase['name'], kernel: KernelCall): Phase => ({
        name: phaseName,
        cost: { flops: 0, bytes: kernel.moved * bytesOf(tensors['x']!) },
        run: () => tf.dispose(call(kernel)),
      });
      if (backward === undefined) {
        return { phases: [phase('forward', forward)], dispose: () => tf.dispose(tensors) };
      }
      const outputs = call(forward);
      for (const [i, output] of backward.made.entries()) tensors[output] = outputs[i]!;
      tensors['dy'] = tf.onesLike(outputs[0]!);
      return {
        phases: [phase('forward', forward), phase('backward', backward)],
        dispose: () => tf.dispose(tensors),
      };
    },
  };
}

export const memoryOpCases: readonly OpCase[] = [
  memoryOp({
    name: 'softmax 65536 x 313',
    given: (share) => ({ x: normal(rowsOf(65536, share), 313) }),
    forward: { kernel: 'Softmax', inputs: ['x:logits'], attributes: { dim: 1 }, moved: 2 },
    backward: { kernel: 'DmSoftmaxGrad', inputs: ['dy', 'y'], made: ['y'], moved: 3 },
  }),
  memoryOp({
    name: 'layer norm 32768 x 768',
    given: (share) => ({ x: normal(rowsOf(32768, share), 768), ...affine(768) }),
    forward: {
      kernel: 'DmLayerNorm',
      inputs: ['x', 'weight', 'bias'],
      attributes: { epsilon: 1e-6 },
      moved: 2,
    },
    backward: {
      kernel: 'DmLayerNormGrad',
      inputs: ['dy', 'x', 'weight', 'mean', 'rstd'],
      made: ['y', 'mean', 'rstd'],
      moved: 3,
    },
  }),
  memoryOp({
    name: 'gelu 8192 x 3072',
    given: (share) => ({ x: normal(rowsOf(8192, share), 3072) }),
    forward: { kernel: 'DmGelu', inputs: ['x'], moved: 2 },
    backward: { kernel: 'DmGeluGrad', inputs: ['dy', 'x'], made: ['y'], moved: 3 },
  }),
  memoryOp({
    name: 'masked patch loss 8 x 1255 of 1568 x 1536',
    given: (share) => ({
      x: normal(8, rowsOf(1255, share), 1536),
      patches: normal(8, rowsOf(1568, share), 1536),
      indices: indices(8, rowsOf(1255, share), rowsOf(1568, share)),
    }),
    forward: {
      kernel: 'DmMaskedPatchLoss',
      inputs: ['x:prediction', 'patches', 'indices'],
      attributes: { normalizeTargets: false },
      moved: 3,
    },
    backward: {
      kernel: 'DmMaskedPatchLossGrad',
      inputs: ['dy', 'difference'],
      made: ['loss', 'difference'],
      moved: 2,
    },
  }),
  memoryOp({
    name: 'add 8192 x 3072',
    given: (share) => ({
      x: normal(rowsOf(8192, share), 3072),
      y: normal(rowsOf(8192, share), 3072),
    }),
    forward: { kernel: 'Add', inputs: ['x:a', 'y:b'], moved: 3 },
  }),
];
