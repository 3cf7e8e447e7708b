// SPDX-License-Identifier: Apache-2.0
// The emulated GPU for tests of `diffmavil-cuda`: the device library over host memory, which `npm run build:cuda` makes.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const library = fileURLToPath(
  new URL('../../../native/build-cuda/libdiffmavil_cuda_emulated.so', import.meta.url),
);

/**
 * Has this process find the emulated device, unless DIFFMAVIL_CUDA_PATH names another library (that of a GPU). Call it before the device is
 * looked for.
 *
 * @returns whether the library is there.
 */
export function emulateCuda(): boolean {
  process.env['DIFFMAVIL_CUDA'] = 'auto';
  process.env['DIFFMAVIL_CUDA_PATH'] ??= library;
  return existsSync(process.env['DIFFMAVIL_CUDA_PATH']);
}
