// SPDX-License-Identifier: Apache-2.0
// Largest values and means of windows of images, and their gradients.
import { backend_util, util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

type Info = backend_util.Conv2DInfo;

function infoOf({ attrs }: KernelCall, x: TensorInfo): Info {
  type Two = [number, number];
  return backend_util.computePool2DInfo(
    x.shape as [number, number, number, number],
    attrs['filterSize'] as Two,
    attrs['strides'] as Two,
    1,
    attrs['pad'] as 'same' | 'valid',
    attrs['dimRoundingMode'] as 'floor' | undefined,
  );
}

/** The numbers of native/cpu/pool.cc. */
function numbersOf(info: Info): number[] {
  const rows = [info.inHeight, info.outHeight, info.strideHeight, info.filterHeight];
  const columns = [info.inWidth, info.outWidth, info.strideWidth, info.filterWidth];
  const { top, left } = info.padInfo;
  return [info.batchSize, info.inChannels, ...rows, top, ...columns, left];
}

function pool(op: string, call: KernelCall): TensorInfo | null {
  const x = input(call, 'x');
  if (x.dtype !== 'float32') return null;
  const info = infoOf(call, x);
  const whole = info.filterHeight === 1 && info.filterWidth === 1;
  if (whole && util.arraysEqual(info.inShape, info.outShape)) return call.backend.alias(x);
  const output = { shape: info.outShape, dtype: x.dtype };
  return call.backend.execute(op, [x], output, numbersOf(info));
}

function poolGrad(op: string, call: KernelCall): TensorInfo | null {
  const x = input(call, 'input');
  const dy = input(call, 'dy');
  if (x.dtype !== 'float32' || dy.dtype !== 'float32') return null;
  const inputs = op === 'MaxPoolGrad' ? [dy, x] : [dy];
  const output = { shape: x.shape, dtype: x.dtype };
  return call.backend.execute(op, inputs, output, numbersOf(infoOf(call, x)));
}

export const poolKernels: readonly NativeKernel[] = [
  { name: 'AvgPool', run: (call) => pool('AvgPool', call) },
  { name: 'AvgPoolGrad', run: (call) => poolGrad('AvgPoolGrad', call) },
  { name: 'MaxPool', run: (call) => pool('MaxPool', call) },
  { name: 'MaxPoolGrad', run: (call) => poolGrad('MaxPoolGrad', call) },
];
