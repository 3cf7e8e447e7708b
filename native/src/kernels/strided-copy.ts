// SPDX-License-Identifier: Apache-2.0
// Kernels whose output is the input seen through other sizes and steps; strings and complex numbers are left to tfjs.
import { slice_util, util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const mostAxes = 8;

/** Element (i, j, …) is element `offset + i * steps[0] + j * steps[1] + …` of the input. */
interface View {
  readonly sizes: readonly number[];
  readonly steps: readonly number[];
  readonly offset: number;
}

/** The view as a tensor of this shape. */
function copyView(call: KernelCall, x: TensorInfo, view: View, shape: number[]): TensorInfo {
  const { sizes, steps, offset } = view;
  const bytes = bytesPerElement(x.dtype);
  const numbers = [bytes, sizeOf(x), offset, sizes.length, ...sizes, ...steps];
  return call.backend.execute('DmStridedCopy', [x], { shape, dtype: x.dtype }, numbers);
}

function isNative({ dtype, shape }: TensorInfo): boolean {
  return dtypeCode(dtype) !== undefined && shape.length <= mostAxes;
}

/** Elements between neighbours along each axis. */
function stepsOf(shape: readonly number[]): number[] {
  const steps = [...shape];
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    steps[axis] = step;
    step *= shape[axis]!;
  }
  return steps;
}

function transpose(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (!isNative(x)) return null;
  const perm = call.attrs['perm'] as number[];
  const shape = perm.map((axis) => x.shape[axis]!);
  const long = perm.filter((axis) => x.shape[axis] !== 1);
  // Only axes of one element move, or none: the same order of the same values.
  if (long.every((axis, i) => i === 0 || axis > long[i - 1]!)) return call.backend.alias(x, shape);
  const steps = stepsOf(x.shape);
  const view = { sizes: shape, steps: perm.map((axis) => steps[axis]!), offset: 0 };
  return copyView(call, x, view, shape);
}

function slice(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (!isNative(x)) return null;
  const { begin, size } = call.attrs as { begin: number | number[]; size: number | number[] };
  const [starts, sizes] = slice_util.parseSliceParams(x, begin, size) as [number[], number[]];
  slice_util.assertParamsValid(x, starts, sizes);
  return copyView(call, x, sliced(x, starts, sizes), sizes);
}

function sliced(x: TensorInfo, starts: readonly number[], sizes: readonly number[]): View {
  const steps = stepsOf(x.shape);
  const empty = sizes.includes(0);
  const offset = empty ? 0 : starts.reduce((sum, start, axis) => sum + start * steps[axis]!, 0);
  return { sizes, steps, offset };
}

function stridedSlice(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (!isNative(x)) return null;
  const attrs = call.attrs as Record<string, never>;
  const info = slice_util.sliceInfo(
    x.shape,
    attrs['begin']!,
    attrs['end']!,
    attrs['strides']!,
    attrs['beginMask']!,
    attrs['endMask']!,
    attrs['ellipsisMask']!,
    attrs['newAxisMask']!,
    attrs['shrinkAxisMask']!,
  );
  if (info.isIdentity) return call.backend.alias(x, info.finalShape);
  const { begin, end, strides, finalShape, finalShapeSparse } = info;
  if (info.sliceDim0 || info.isSimpleSlice) {
    util.assert(
      x.shape.length >= 1,
      () => `Input must have rank at least 1, got: ${x.shape.length}`,
    );
    const sizes = slice_util.computeOutShape(begin, end, strides);
    return copyView(call, x, sliced(x, begin, sizes), finalShape);
  }
  const steps = stepsOf(x.shape).map((step, axis) => step * strides[axis]!);
  const { offset } = sliced(x, begin, finalShapeSparse);
  return copyView(call, x, { sizes: finalShapeSparse, steps, offset }, finalShape);
}

function reverse(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (!isNative(x)) return null;
  const dims = util.parseAxisParam(call.attrs['dims'] as number | number[], x.shape);
  const steps = stepsOf(x.shape);
  let offset = 0;
  for (const axis of dims) {
    offset += Math.max(0, x.shape[axis]! - 1) * steps[axis]!;
    steps[axis] = -steps[axis]!;
  }
  return copyView(call, x, { sizes: x.shape, steps, offset: sizeOf(x) === 0 ? 0 : offset }, [
    ...x.shape,
  ]);
}

function tile(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (!isNative(x)) return null;
  const reps = call.attrs['reps'] as number[];
  const shape = x.shape.map((size, axis) => size * reps[axis]!);
  const steps = stepsOf(x.shape);
  const view = {
    sizes: x.shape.flatMap((size, axis) => [reps[axis]!, size]),
    steps: steps.flatMap((step) => [0, step]),
    offset: 0,
  };
  return copyView(call, x, view, shape);
}

function broadcastTo(call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  const shape = call.attrs['shape'] as number[];
  if (!isNative(x) || shape.length > mostAxes) return null;
  const own = stepsOf(x.shape);
  const added = shape.length - x.shape.length;
  const steps = shape.map((_, axis) =>
    axis < added || x.shape[axis - added] === 1 ? 0 : own[axis - added]!,
  );
  return copyView(call, x, { sizes: shape, steps, offset: 0 }, [...shape]);
}

export const stridedCopyKernels: readonly NativeKernel[] = [
  { name: 'BroadcastTo', run: broadcastTo },
  { name: 'Reverse', run: reverse },
  { name: 'Slice', run: slice },
  { name: 'StridedSlice', run: stridedSlice },
  { name: 'Tile', run: tile },
  { name: 'Transpose', run: transpose },
];
