// SPDX-License-Identifier: Apache-2.0
// Masked patches with noise: packages/core/src/ops/diffuse.ts.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

function diffuse(call: KernelCall): TensorInfo {
  const keyed = call.inputs['keys'] !== undefined;
  const patches = floatInput(call, 'patches');
  const indices = input(call, 'indices');
  const noise = keyed ? input(call, 'keys') : floatInput(call, 'noise');
  const inputs = [patches, indices, floatInput(call, 'signal'), floatInput(call, 'noiseScale')];
  const [batch = 0, tokens = 0, patchValues = 0] = patches.shape;
  const [, masked = 0] = indices.shape;
  return call.backend.execute(
    'DmDiffuse',
    [...inputs, noise],
    { shape: [batch, masked, patchValues], dtype: 'float32' },
    [batch, tokens, masked, patchValues, keyed ? 1 : 0],
  );
}

export const diffuseKernels: readonly NativeKernel[] = [{ name: 'DmDiffuse', run: diffuse }];
