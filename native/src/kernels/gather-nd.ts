// SPDX-License-Identifier: Apache-2.0
// Slices by indices of several axes. Strings are left to tfjs.
import { backend_util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function gatherNd(call: KernelCall): TensorInfo | null {
  const params = input(call, 'params');
  const indices = input(call, 'indices');
  if (dtypeCode(params.dtype) === undefined) return null;
  const [shape, slices, sliceSize, steps] = backend_util.prepareAndValidate(params, indices);
  const rank = indices.shape.at(-1)!;
  const places = sizeOf(params) / sliceSize;
  const numbers = [bytesPerElement(params.dtype), slices, rank, sliceSize, places, ...steps];
  const output = { shape, dtype: params.dtype };
  return call.backend.execute('GatherNd', [params, indices], output, numbers);
}

/** The numbers [N, R, C, P, steps…] of native/cpu/gather-nd.cc; null for shapes that are left to tfjs. */
function places(updates: TensorInfo, indices: TensorInfo, shape: number[]): number[] | null {
  const found = backend_util.calculateShapes(updates, indices, shape);
  const { sliceRank, numUpdates, sliceSize, strides, outputSize } = found;
  if (sliceRank === 0 || outputSize === 0 || sizeOf(updates) !== numUpdates * sliceSize)
    return null;
  const steps = strides.slice(0, sliceRank);
  return [numUpdates, sliceRank, sliceSize, outputSize / sliceSize, ...steps];
}

function scatterNd(call: KernelCall): TensorInfo | null {
  const indices = input(call, 'indices');
  const updates = input(call, 'updates');
  const { dtype } = updates;
  const shape = call.attrs['shape'] as number[];
  const numbers = places(updates, indices, shape);
  if (!['float32', 'int32'].includes(dtype) || indices.dtype !== 'int32' || numbers === null) {
    return null;
  }
  numbers.unshift(dtypeCode(dtype)!);
  return call.backend.execute('ScatterNd', [indices, updates], { shape, dtype }, numbers);
}

function tensorScatterUpdate(call: KernelCall): TensorInfo | null {
  const tensor = input(call, 'tensor');
  const indices = input(call, 'indices');
  const updates = input(call, 'updates');
  const { dtype, shape } = tensor;
  if (dtypeCode(dtype) === undefined || updates.dtype !== dtype) return null;
  const numbers = places(updates, indices, shape);
  if (indices.dtype !== 'int32' || numbers === null) return null;
  numbers.unshift(bytesPerElement(dtype));
  const inputs = [tensor, indices, updates];
  return call.backend.execute('TensorScatterUpdate', inputs, { shape, dtype }, numbers);
}

export const gatherNdKernels: readonly NativeKernel[] = [
  { name: 'GatherNd', run: gatherNd },
  { name: 'ScatterNd', run: scatterNd },
  { name: 'TensorScatterUpdate', run: tensorScatterUpdate },
];
