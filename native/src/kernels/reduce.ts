// SPDX-License-Identifier: Apache-2.0
// Reductions over any axes: Sum, Mean, Prod, Max, Min, All, Any.
import * as tf from '@tensorflow/tfjs-core';
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { noteInputShape } from '../reduced-shapes.ts';
import { withCast } from './cast.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

type Outcome = ReturnType<NativeKernel['run']>;

const mostAxes = 8;

/** The dtype that an operand is converted to first; null leaves the case to tfjs. */
type Operand = (dtype: DataType) => DataType | null;

const own: Operand = (dtype) => dtype;
const floats: Operand = () => 'float32';
const numbers: Operand = (dtype) => (dtype === 'bool' ? 'int32' : dtype);
const bools: Operand = (dtype) => (dtype === 'bool' ? dtype : null);

function kernel(name: string, op: string, operand: Operand, axisName = 'axis'): NativeKernel {
  const run = (call: KernelCall): Outcome => {
    const x = input(call, 'x');
    noteInputShape(call.attrs, null);
    const dtype = dtypeCode(x.dtype) === undefined ? null : operand(x.dtype);
    const axes = tf.util.parseAxisParam(call.attrs[axisName] as number[], x.shape);
    if (dtype === null || x.shape.length > mostAxes || new Set(axes).size < axes.length)
      return null;
    const keepDims = call.attrs['keepDims'] === true;
    const result = withCast(call.backend, x, dtype, (converted) =>
      reduce(call.backend, op, converted, axes, keepDims),
    );
    noteInputShape(call.attrs, x.shape);
    return result;
  };
  return { name, run };
}

function reduce(
  backend: NativeBackend,
  op: string,
  x: TensorInfo,
  axes: readonly number[],
  keepDims: boolean,
): TensorInfo {
  const reduced = x.shape.map((_, axis) => axes.includes(axis));
  const shape = keepDims
    ? x.shape.map((length, axis) => (reduced[axis] === true ? 1 : length))
    : x.shape.filter((_, axis) => reduced[axis] !== true);
  return backend.execute(op, [x], { shape, dtype: x.dtype }, [
    dtypeCode(x.dtype) ?? 0,
    x.shape.length,
    ...x.shape,
    ...reduced.map(Number),
  ]);
}

export const reduceKernels: readonly NativeKernel[] = [
  kernel('All', 'Min', bools),
  kernel('Any', 'Max', bools),
  kernel('Max', 'Max', own, 'reductionIndices'),
  kernel('Mean', 'Mean', floats),
  kernel('Min', 'Min', own),
  kernel('Prod', 'Prod', numbers),
  kernel('Sum', 'Sum', numbers),
];
