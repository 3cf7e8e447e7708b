// SPDX-License-Identifier: Apache-2.0
// Inputs of the kernels of @diffmavil/core's ops, which have no other backend to leave a dtype to.
import { ShapeError } from '@diffmavil/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { dtypeCode } from '../binding.ts';
import { input } from './kernel.ts';
import type { KernelCall } from './kernel.ts';

/**
 * The float32 input of this name.
 *
 * @throws ShapeError for another dtype.
 */
export function floatInput(call: KernelCall, name: string): TensorInfo {
  const x = input(call, name);
  if (x.dtype !== 'float32') {
    throw new ShapeError(`native: expected ${name} of float32, got ${x.dtype}`);
  }
  return x;
}

/**
 * The number of a dtype that lives in native buffers.
 *
 * @throws ShapeError for strings and complex numbers.
 */
export function nativeDtype({ dtype }: TensorInfo): number {
  const code = dtypeCode(dtype);
  if (code === undefined) {
    throw new ShapeError(`native: expected a tensor of float32, int32 or bool, got ${dtype}`);
  }
  return code;
}
