// SPDX-License-Identifier: Apache-2.0
// Kernels that lay tensors side by side along an axis, or take them apart; strings and complex numbers are left to tfjs.
import { backend_util, util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** The tensors of a kernel that takes a list of them; null when they do not live in native buffers, or differ in dtype. */
function listed({ inputs }: KernelCall): TensorInfo[] | null {
  const tensors = Object.values(inputs);
  const dtype = tensors[0]?.dtype;
  const native = dtype !== undefined && dtypeCode(dtype) !== undefined;
  return native && tensors.every((x) => x.dtype === dtype) ? tensors : null;
}

/** Tensors that agree in all axes before `axis`, joined there. */
function join(
  { backend }: KernelCall,
  parts: readonly TensorInfo[],
  axis: number,
  shape: number[],
): TensorInfo {
  const filled = parts.filter((part) => sizeOf(part) > 0);
  const [first] = filled;
  if (first !== undefined && filled.length === 1) return backend.alias(first, shape);
  const { dtype } = parts[0]!;
  if (first === undefined) return backend.allocate(shape, dtype);
  const outer = sizeOf({ shape: first.shape.slice(0, axis) });
  const numbers = [bytesPerElement(dtype), outer, ...filled.map((part) => sizeOf(part) / outer)];
  return backend.execute('Concat', filled, { shape, dtype }, numbers);
}

/** x cut along an axis into parts of these shapes. */
function cut(
  { backend }: KernelCall,
  x: TensorInfo,
  axis: number,
  shapes: readonly (readonly number[])[],
): TensorInfo[] {
  const outer = sizeOf({ shape: x.shape.slice(0, axis) });
  const { dtype } = x;
  const inner = shapes.map((shape) => (outer === 0 ? 0 : sizeOf({ shape }) / outer));
  const outputs = shapes.map((shape) => ({ shape, dtype }));
  return backend.executeAll('SplitV', [x], outputs, [bytesPerElement(dtype), outer, ...inner]);
}

function concat(call: KernelCall): TensorInfo | null {
  const tensors = listed(call);
  if (tensors === null) return null;
  const axis = util.parseAxisParam(call.attrs['axis'] as number, tensors[0]!.shape)[0]!;
  const shapes = tensors.map(({ shape }) => shape);
  backend_util.assertParamsConsistent(shapes, axis);
  return join(call, tensors, axis, backend_util.computeOutShape(shapes, axis));
}

function pack(call: KernelCall): TensorInfo | null {
  const tensors = listed(call);
  if (tensors === null) return null;
  const { shape } = tensors[0]!;
  for (const x of tensors) {
    util.assertShapesMatch(shape, x.shape, 'All tensors passed to stack must have matching shapes');
  }
  const given = call.attrs['axis'] as number;
  const axis = given < 0 ? shape.length + 1 + given : given;
  return join(call, tensors, axis, [...shape.slice(0, axis), tensors.length, ...shape.slice(axis)]);
}

function splitV(call: KernelCall): TensorInfo[] | null {
  const x = input(call, 'x');
  if (dtypeCode(x.dtype) === undefined) return null;
  const axis = util.parseAxisParam(call.attrs['axis'] as number, x.shape)[0]!;
  const sizes = backend_util.prepareSplitSize(
    x,
    call.attrs['numOrSizeSplits'] as number | number[],
    axis,
  );
  const shapes = sizes.map((size) => [...x.shape.slice(0, axis), size, ...x.shape.slice(axis + 1)]);
  return cut(call, x, axis, shapes);
}

function unpack(call: KernelCall): TensorInfo[] | null {
  const x = input(call, 'value');
  if (dtypeCode(x.dtype) === undefined) return null;
  const given = call.attrs['axis'] as number;
  const axis = given < 0 ? given + x.shape.length : given;
  const shape = [...x.shape.slice(0, axis), ...x.shape.slice(axis + 1)];
  return cut(
    call,
    x,
    axis,
    Array.from({ length: x.shape[axis]! }, () => shape),
  );
}

export const concatKernels: readonly NativeKernel[] = [
  { name: 'Concat', run: concat },
  { name: 'Pack', run: pack },
  { name: 'SplitV', run: splitV },
  { name: 'Unpack', run: unpack },
];
