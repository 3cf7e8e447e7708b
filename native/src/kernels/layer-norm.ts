// SPDX-License-Identifier: Apache-2.0
// Layer normalization over the last axis: packages/core/src/ops/layer-norm.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function layerNorm(call: KernelCall): TensorInfo[] {
  const x = floatInput(call, 'x');
  const { rows, width } = rowsOf(x);
  const inputs = [x, floatInput(call, 'weight'), floatInput(call, 'bias')];
  const outputs = [x.shape, [rows, 1], [rows, 1]].map(float32);
  const numbers = [rows, width, call.attrs['epsilon'] as number];
  return call.backend.executeAll('DmLayerNorm', inputs, outputs, numbers);
}

function layerNormGrad(call: KernelCall): TensorInfo[] {
  const names = ['dy', 'x', 'weight', 'mean', 'rstd'];
  const inputs = names.map((name) => floatInput(call, name));
  const x = floatInput(call, 'x');
  const { rows, width } = rowsOf(x);
  const outputs = [x.shape, [width], [width]].map(float32);
  return call.backend.executeAll('DmLayerNormGrad', inputs, outputs, [rows, width]);
}

function rowsOf({ shape }: TensorInfo): { rows: number; width: number } {
  return { rows: sizeOf({ shape: shape.slice(0, -1) }), width: shape.at(-1) ?? 1 };
}

function float32(shape: number[]): { shape: number[]; dtype: 'float32' } {
  return { shape, dtype: 'float32' };
}

export const layerNormKernels: readonly NativeKernel[] = [
  { name: 'DmLayerNorm', run: layerNorm },
  { name: 'DmLayerNormGrad', run: layerNormGrad },
];
