// SPDX-License-Identifier: Apache-2.0
// Kernels that compute nothing: other names and shapes for the same data, and the parts of complex tensors.
import * as tf from '@tensorflow/tfjs-core';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function reshape(call: KernelCall): tf.TensorInfo {
  const x = input(call, 'x');
  const size = sizeOf(x);
  const shape = tf.util.inferFromImplicitShape(call.attrs['shape'] as number[], size);
  if (sizeOf({ shape }) !== size) {
    // The words of tfjs, which its own specs look for.
    throw new Error(
      `The new shape (${String(shape)}) has ${sizeOf({ shape })} elements and the old shape (${String(x.shape)}) has ` +
        `${size} elements. The new shape and old shape must have the same number of elements.`,
    );
  }
  return call.backend.alias(x, shape);
}

function expandDims(call: KernelCall): tf.TensorInfo {
  const x = input(call, 'input');
  const dim = call.attrs['dim'] as number;
  const rank = x.shape.length;
  if (dim < -(rank + 1) || dim > rank) {
    throw new Error(`Axis must be in the interval [${-(rank + 1)}, ${rank}]`);
  }
  const at = dim < 0 ? rank + dim + 1 : dim;
  return call.backend.alias(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

export const storageKernels: readonly NativeKernel[] = [
  { name: 'Identity', run: (call) => call.backend.alias(input(call, 'x')) },
  { name: 'Reshape', run: reshape },
  { name: 'ExpandDims', run: expandDims },
  {
    // Copies: tfjs counts the data of `real` and `imag` as theirs, and that of a complex tensor as its own.
    name: 'Complex',
    run: (call) => {
      const real = call.backend.copy(input(call, 'real'));
      return call.backend.makeComplex(real, call.backend.copy(input(call, 'imag')));
    },
  },
  { name: 'Real', run: (call) => call.backend.copy(call.backend.parts(input(call, 'input')).real) },
  { name: 'Imag', run: (call) => call.backend.copy(call.backend.parts(input(call, 'input')).imag) },
];
