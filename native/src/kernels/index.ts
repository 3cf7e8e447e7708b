// SPDX-License-Identifier: Apache-2.0
// All native kernels, by family. A new family is one line here.
import { binaryKernels } from './binary.ts';
import { fillKernels } from './fill.ts';
import type { NativeKernel } from './kernel.ts';
import { storageKernels } from './storage.ts';
import { unaryKernels } from './unary.ts';

export const nativeKernels: readonly NativeKernel[] = [
  ...binaryKernels,
  ...fillKernels,
  ...storageKernels,
  ...unaryKernels,
];
