// SPDX-License-Identifier: Apache-2.0
// What the tests of `diffmavil-cuda` share: they run on the emulated device, or on the GPU whose library DIFFMAVIL_CUDA_PATH names.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { emulateCuda } from '@diffmavil/testkit';
import { CudaBackend, cudaBackendName } from './backend.ts';
import { findCuda } from './library.ts';
import { registerCuda } from './register.ts';

emulateCuda();

/** Tests that need a device: `describe.skipIf(noDevice)(`…${skipNote}`, …)`. */
export const noDevice: boolean = findCuda().devices === 0;
export const skipNote: string = noDevice ? ' (skipped: the emulated device is not built)' : '';

/** Makes `diffmavil-cuda` the active backend, with the engine's leak check of every kernel on. */
export async function useCuda(): Promise<CudaBackend> {
  tf.env().set('IS_TEST', true);
  registerCuda();
  await tf.setBackend(cudaBackendName);
  return tf.backend() as CudaBackend;
}

/** So many times the same number, more than JavaScript keeps for itself. */
export function filled(size: number, value: number): tf.Tensor1D {
  return tf.tensor1d(new Float32Array(size).fill(value));
}
