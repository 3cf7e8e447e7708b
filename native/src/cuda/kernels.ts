// SPDX-License-Identifier: Apache-2.0
// The kernels of `diffmavil-cuda`: those of the processor's backend whose ops the device library has too. The others are handed to the
// processor (cuda/processor.ts).
import { batchNormKernels } from '../kernels/batch-norm.ts';
import { convKernels } from '../kernels/conv.ts';
import { nativeKernels } from '../kernels/index.ts';
import type { NativeKernel } from '../kernels/kernel.ts';
import { poolKernels } from '../kernels/pool.ts';
import { resizeBilinearKernels } from '../kernels/resize-bilinear.ts';

const onProcessor = new Set<NativeKernel>([
  ...batchNormKernels,
  ...convKernels,
  ...poolKernels,
  ...resizeBilinearKernels,
]);

export const cudaKernels: readonly NativeKernel[] = nativeKernels.filter(
  (kernel) => !onProcessor.has(kernel),
);
