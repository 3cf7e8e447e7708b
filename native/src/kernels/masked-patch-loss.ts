// SPDX-License-Identifier: Apache-2.0
// Mean square error of masked patches: packages/core/src/ops/masked-patch-loss.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { input, sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function maskedPatchLoss(call: KernelCall): TensorInfo[] {
  const prediction = floatInput(call, 'prediction');
  const patches = floatInput(call, 'patches');
  const [batch = 0, masked = 0, patchValues = 0] = prediction.shape;
  const normalize = call.attrs['normalizeTargets'] === true ? 1 : 0;
  return call.backend.executeAll(
    'DmMaskedPatchLoss',
    [prediction, patches, input(call, 'indices')],
    [
      { shape: [], dtype: 'float32' },
      { shape: prediction.shape, dtype: 'float32' },
    ],
    [batch, patches.shape[1] ?? 0, masked, patchValues, normalize],
  );
}

function maskedPatchLossGrad(call: KernelCall): TensorInfo {
  const difference = floatInput(call, 'difference');
  const inputs = [floatInput(call, 'dy'), difference];
  const output = { shape: difference.shape, dtype: 'float32' } as const;
  return call.backend.execute('DmMaskedPatchLossGrad', inputs, output, [sizeOf(difference)]);
}

export const maskedPatchLossKernels: readonly NativeKernel[] = [
  { name: 'DmMaskedPatchLoss', run: maskedPatchLoss },
  { name: 'DmMaskedPatchLossGrad', run: maskedPatchLossGrad },
];
