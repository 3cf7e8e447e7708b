// SPDX-License-Identifier: Apache-2.0
// Images at another size, and the gradient. tfjs's own gradient returns the wrong shape for images that are not square, and forgets
// halfPixelCenters; this one does neither.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function numbersOf(
  { attrs }: KernelCall,
  from: readonly number[],
  to: readonly number[],
): number[] {
  const flags = ['alignCorners', 'halfPixelCenters'].map((name) => (attrs[name] === true ? 1 : 0));
  return [...from, ...to, ...flags];
}

function resizeBilinear(call: KernelCall): TensorInfo | null {
  const images = input(call, 'images');
  if (images.dtype !== 'float32') return null;
  const size = call.attrs['size'] as number[];
  const [batch = 0, , , channels = 0] = images.shape;
  const output = { shape: [batch, ...size, channels], dtype: images.dtype };
  const numbers = numbersOf(call, images.shape, size);
  return call.backend.execute('ResizeBilinear', [images], output, numbers);
}

function resizeBilinearGrad(call: KernelCall): TensorInfo | null {
  const { shape, dtype } = input(call, 'images');
  const dy = input(call, 'dy');
  if (dtype !== 'float32' || dy.dtype !== 'float32') return null;
  const numbers = numbersOf(call, shape, dy.shape.slice(1, 3));
  return call.backend.execute('ResizeBilinearGrad', [dy], { shape, dtype }, numbers);
}

export const resizeBilinearKernels: readonly NativeKernel[] = [
  { name: 'ResizeBilinear', run: resizeBilinear },
  { name: 'ResizeBilinearGrad', run: resizeBilinearGrad },
];
