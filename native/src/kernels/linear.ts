// SPDX-License-Identifier: Apache-2.0
// x · weightᵀ + bias, optionally through GELU: packages/core/src/ops/linear.ts. With precision
// 'bfloat16' the preactivation is stored as pairs of bfloat16 in a flat tensor that only the
// gradient kernel reads.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { OutputSpec } from '../backend.ts';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

interface Call {
  readonly rows: number;
  readonly inWidth: number;
  readonly outWidth: number;
  readonly biased: boolean;
  readonly gelu: boolean;
  readonly bfloat16: boolean;
}

function read(call: KernelCall, x: TensorInfo): Call {
  const [outWidth = 1, inWidth = 1] = floatInput(call, 'weight').shape;
  return {
    rows: sizeOf({ shape: x.shape.slice(0, -1) }),
    inWidth,
    outWidth,
    biased: call.attrs['biased'] === true,
    gelu: call.attrs['activation'] === 'gelu',
    bfloat16: call.attrs['precision'] === 'bfloat16',
  };
}

function numbersOf({ rows, inWidth, outWidth, biased, gelu, bfloat16 }: Call): number[] {
  return [rows, inWidth, outWidth, ...[biased, gelu, bfloat16].map(Number)];
}

function float32(shape: readonly number[]): OutputSpec {
  return { shape, dtype: 'float32' };
}

function linear(call: KernelCall): TensorInfo[] {
  const x = floatInput(call, 'x');
  const it = read(call, x);
  const inputs = ['x', 'weight', ...(it.biased ? ['bias'] : [])].map((name) =>
    floatInput(call, name),
  );
  const shape = [...x.shape.slice(0, -1), it.outWidth];
  const saved = it.bfloat16 ? [Math.ceil((it.rows * it.outWidth) / 2)] : shape;
  const outputs = [shape, ...(it.gelu ? [saved] : [])].map(float32);
  return call.backend.executeAll('DmLinear', inputs, outputs, numbersOf(it));
}

function linearGrad(call: KernelCall): TensorInfo[] {
  const x = floatInput(call, 'x');
  const it = read(call, x);
  const inputGradient = call.attrs['inputGradient'] === true;
  const names = ['dy', 'x', 'weight', ...(it.gelu ? ['preactivation'] : [])];
  const inputs = names.map((name) => floatInput(call, name));
  const outputs = [
    [it.outWidth, it.inWidth],
    ...(it.biased ? [[it.outWidth]] : []),
    ...(inputGradient ? [x.shape] : []),
  ].map(float32);
  const numbers = [...numbersOf(it), Number(inputGradient)];
  return call.backend.executeAll('DmLinearGrad', inputs, outputs, numbers);
}

export const linearKernels: readonly NativeKernel[] = [
  { name: 'DmLinear', run: linear },
  { name: 'DmLinearGrad', run: linearGrad },
];
