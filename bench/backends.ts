// SPDX-License-Identifier: Apache-2.0
// The tfjs backends that are compared.
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { backendName, cudaBackendName, registerCuda, registerNative } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';
import { BenchError } from './bench-error.ts';

/** In the order of the table. wasm and cpu have one thread: tfjs starts no wasm threads in Node. */
export const backendNames = ['diffmavil-cpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof backendNames)[number];

/** Makes a backend the active one. Throws DeviceError without the addon or the GPU, BenchError when it does not start. */
export async function useBackend(name: string, threads: number): Promise<void> {
  if (name === backendName) registerNative({ threads });
  if (name === cudaBackendName) registerCuda();
  // Its overflow check reads every result of a matrix product.
  tf.env().set('CHECK_COMPUTATION_FOR_ERRORS', false);
  if (!(await tf.setBackend(name))) {
    throw new BenchError(`bench: expected the backend ${name} to start, got a failure`);
  }
  const backend = tf.backend();
  // tfjs greets on the first use of this backend and advises another package.
  if (backend instanceof MathBackendCPU) {
    (backend as unknown as { firstUse: boolean }).firstUse = false;
  }
}
