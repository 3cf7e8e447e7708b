// SPDX-License-Identifier: Apache-2.0
// Slices by their indices along an axis, and sums of slices by index. DmGatherV2Grad (dy, indices; attributes shape, axis, batchDims) is
// the gradient of GatherV2 (native/src/gather-gradient.ts).
import { DeviceError } from '@diffmavil/core';
import { backend_util, util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { floatInput } from './checks.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** The sizes [B, O, D, N, C] of native/cpu/gather.cc, and the shape of the gathered slices. */
function sizesOf(
  { attrs }: KernelCall,
  x: { readonly shape: number[] },
  indices: TensorInfo,
): { sizes: number[]; shape: number[] } {
  const axis = util.parseAxisParam(attrs['axis'] as number, x.shape)[0]!;
  const info = backend_util.segment_util.collectGatherOpShapeInfo(
    x as TensorInfo,
    indices,
    axis,
    (attrs['batchDims'] as number | undefined) ?? 0,
  );
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } = info;
  const count = batchSize === 0 ? 0 : sizeOf(indices) / batchSize;
  return { sizes: [batchSize, outerSize, dimSize, count, sliceSize], shape: outputShape };
}

function gatherV2(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  const indices = input(call, 'indices');
  if (dtypeCode(x.dtype) === undefined || indices.dtype !== 'int32') return null;
  const { sizes, shape } = sizesOf(call, x, indices);
  checkIndices(call, indices, sizes[2]!);
  const numbers = [bytesPerElement(x.dtype), ...sizes];
  return call.backend.execute('GatherV2', [x, indices], { shape, dtype: x.dtype }, numbers);
}

/** A device does not look at indices before it reads through them, as it would have to be waited for: those still here are checked here. */
function checkIndices({ backend }: KernelCall, indices: TensorInfo, limit: number): void {
  const wrong = backend.smallValues(indices)?.find((index) => index < 0 || index >= limit);
  if (wrong === undefined) return;
  // The words of tfjs.
  throw new DeviceError(`GatherV2: the index value ${wrong} is not in [0, ${limit - 1}]`);
}

function gatherV2Grad(call: KernelCall): TensorInfo {
  const shape = call.attrs['shape'] as number[];
  const indices = input(call, 'indices');
  const { sizes } = sizesOf(call, { shape }, indices);
  const inputs = [floatInput(call, 'dy'), indices];
  return call.backend.execute('DmGatherV2Grad', inputs, { shape, dtype: 'float32' }, sizes);
}

function unsortedSegmentSum(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  const ids = input(call, 'segmentIds');
  const [rows, ...slice] = x.shape;
  const listed = ids.shape.length === 1 && ids.shape[0] === rows;
  if (x.dtype !== 'float32' || ids.dtype !== 'int32' || !listed) return null;
  const segments = call.attrs['numSegments'] as number;
  const output = { shape: [segments, ...slice], dtype: 'float32' } as const;
  const numbers = [segments, sizeOf(ids), sizeOf({ shape: slice })];
  return call.backend.execute('UnsortedSegmentSum', [x, ids], output, numbers);
}

export const gatherKernels: readonly NativeKernel[] = [
  { name: 'DmGatherV2Grad', run: gatherV2Grad },
  { name: 'GatherV2', run: gatherV2 },
  { name: 'UnsortedSegmentSum', run: unsortedSegmentSum },
];
