// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels of two operands of one dtype, with broadcasting. Dtypes that an op lacks, and mixed ones, which tfjs's own ops
// never ask for, are left to tfjs.
import * as tf from '@tensorflow/tfjs-core';
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

type Outcome = ReturnType<NativeKernel['run']>;

interface Binary {
  readonly dtypes: readonly DataType[];
  /** Dtype of the result; default that of the operands. */
  readonly result?: DataType;
  /** Names of the operands; default a and b. */
  readonly operands?: readonly [string, string];
}

const mostAxes = 8;
const bools: readonly DataType[] = ['bool'];
const floats: readonly DataType[] = ['float32'];
const numbers: readonly DataType[] = ['float32', 'int32'];
const all: readonly DataType[] = ['float32', 'int32', 'bool'];
const comparison: Binary = { dtypes: all, result: 'bool' };

const kernels: Readonly<Record<string, Binary>> = {
  Add: { dtypes: all },
  EluGrad: { dtypes: floats, operands: ['dy', 'y'] },
  Equal: comparison,
  FloorDiv: { dtypes: numbers, result: 'int32' },
  Greater: comparison,
  GreaterEqual: comparison,
  Less: comparison,
  LessEqual: comparison,
  LogicalAnd: { dtypes: bools },
  LogicalOr: { dtypes: bools },
  Maximum: { dtypes: all },
  Minimum: { dtypes: all },
  Mod: { dtypes: numbers },
  Multiply: { dtypes: all },
  NotEqual: comparison,
  Pow: { dtypes: numbers },
  Prelu: { dtypes: floats, operands: ['x', 'alpha'] },
  RealDiv: { dtypes: floats },
  SquaredDifference: { dtypes: all },
  Sub: { dtypes: all },
};

function binary(name: string, kernel: Binary, call: KernelCall): Outcome {
  const [first, second] = kernel.operands ?? ['a', 'b'];
  const a = input(call, first);
  const b = input(call, second);
  const code = dtypeCode(a.dtype);
  if (code === undefined || a.dtype !== b.dtype || !kernel.dtypes.includes(a.dtype)) return null;
  const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const rank = shape.length;
  if (rank > mostAxes) return null;
  return call.backend.execute(name, [a, b], { shape, dtype: kernel.result ?? a.dtype }, [
    code,
    rank,
    ...padded(a.shape, rank),
    ...padded(b.shape, rank),
  ]);
}

/** The shape with leading ones, up to a rank. */
export function padded(shape: readonly number[], rank: number): number[] {
  return [...Array.from({ length: rank - shape.length }, () => 1), ...shape];
}

function addN(call: KernelCall): Outcome {
  const tensors: readonly TensorInfo[] = Object.values(call.inputs);
  const first = tensors[0];
  if (first === undefined || !numbers.includes(first.dtype)) return null;
  const { shape, dtype } = first;
  return call.backend.execute('AddN', tensors, { shape, dtype }, [
    dtypeCode(dtype) ?? 0,
    sizeOf(first),
  ]);
}

export const binaryKernels: readonly NativeKernel[] = [
  ...Object.entries(kernels).map(([name, kernel]) => ({
    name,
    run: (call: KernelCall) => binary(name, kernel, call),
  })),
  { name: 'AddN', run: addN },
];
