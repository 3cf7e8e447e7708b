// SPDX-License-Identifier: Apache-2.0
// Cast between float32, int32 and bool. Unlike tfjs's cpu backend, which only renames, int32 to float32 rounds to the nearest.
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** A new tensor of another dtype; both dtypes are float32, int32 or bool. */
export function cast(backend: NativeBackend, x: TensorInfo, dtype: DataType): TensorInfo {
  const codes = [x.dtype, dtype].map((name) => {
    const code = dtypeCode(name);
    if (code === undefined) throw new Error(`native: expected a dtype of numbers, got ${name}`);
    return code;
  });
  return backend.execute('Cast', [x], { shape: x.shape, dtype }, [...codes, sizeOf(x)]);
}

/** Calls `run` with the tensor as another dtype; a conversion is freed afterwards. */
export function withCast<T>(
  backend: NativeBackend,
  x: TensorInfo,
  dtype: DataType,
  run: (converted: TensorInfo) => T,
): T {
  if (x.dtype === dtype) return run(x);
  const converted = cast(backend, x, dtype);
  try {
    return run(converted);
  } finally {
    backend.disposeData(converted.dataId);
  }
}

function run(call: KernelCall): ReturnType<NativeKernel['run']> {
  const x = input(call, 'x');
  const dtype = call.attrs['dtype'] as DataType;
  if (x.dtype === dtype) return call.backend.alias(x);
  if (dtypeCode(x.dtype) === undefined || dtypeCode(dtype) === undefined) return null;
  return cast(call.backend, x, dtype);
}

export const castKernels: readonly NativeKernel[] = [{ name: 'Cast', run }];
