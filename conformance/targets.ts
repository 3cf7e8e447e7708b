// SPDX-License-Identifier: Apache-2.0
// The backends of ours that are tested.
import {
  backendName,
  cudaBackendName,
  findAddon,
  findCuda,
  registerCuda,
  registerNative,
} from '@diffmavil/native';
import { emulateCuda } from '@diffmavil/testkit';

/** A backend to be tested; `missing` is why it cannot be here, or null. */
export interface Target {
  readonly name: string;
  readonly register: () => void;
  readonly missing: string | null;
}

export const processor: Target = {
  name: backendName,
  register: registerNative,
  missing: findAddon().addon === null ? 'the native addon is not built' : null,
};

/** The emulated device, or the GPU whose library DIFFMAVIL_CUDA_PATH names; looked for when called. */
export function emulatedDevice(): Target {
  emulateCuda();
  const missing = findCuda().devices === 0 ? 'the emulated device is not built' : null;
  return { name: cudaBackendName, register: registerCuda, missing };
}
