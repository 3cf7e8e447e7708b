// SPDX-License-Identifier: Apache-2.0
// Makes the backend `diffmavil-cuda` known to tfjs.
import { ConfigError, DeviceError } from '@diffmavil/core';
import { registerBackend } from '../register.ts';
import { CudaBackend, cudaBackendName } from './backend.ts';
import { captureSteps } from './capture-steps.ts';
import type { Device } from './device.ts';
import { cudaKernels } from './kernels.ts';
import { cudaGraphs, requireCuda } from './library.ts';

/** Above `diffmavil-cpu`, so that a program that leaves the choice to tfjs takes the GPU. */
const priority = 5;

export interface RegisterCudaOptions {
  /** The device's number, as the driver counts what CUDA_VISIBLE_DEVICES shows. Default: DIFFMAVIL_CUDA_DEVICE, else 0. */
  readonly device?: number;
}

let open: { readonly number: number; readonly device: Device } | undefined;

/**
 * Opens a GPU and registers the backend `diffmavil-cuda` with tfjs; again with the same device does nothing. A GPU is never replaced by
 * something slower here.
 *
 * @returns the device.
 * @throws DeviceError when there is no device library, no driver or no such device, each in one sentence with what to do; and when another
 *   device is open already.
 * @throws DeviceError when DIFFMAVIL_CUDA_GRAPHS says what it cannot mean, before anything is opened.
 * @throws ConfigError when the device's number is no integer of 0 or more.
 */
export function registerCuda(options: RegisterCudaOptions = {}): Device {
  const number = options.device ?? Number(process.env['DIFFMAVIL_CUDA_DEVICE'] ?? 0);
  if (!(Number.isInteger(number) && number >= 0)) {
    throw new ConfigError(
      `registerCuda: expected the number of a device, an integer from 0, got ${
        options.device ?? `DIFFMAVIL_CUDA_DEVICE=${process.env['DIFFMAVIL_CUDA_DEVICE']}`
      }`,
    );
  }
  if (open !== undefined) {
    if (open.number === number) return open.device;
    throw new DeviceError(
      `registerCuda: expected device ${open.number}, which this thread has open, got ${number}. Try: a worker thread for each device`,
    );
  }
  const graphs = cudaGraphs();
  const { addon, library } = requireCuda();
  const device = opened(() => addon.openDevice(library, number));
  const backend = new CudaBackend(device, addon);
  if (graphs === 'auto') backend.captureSteps = captureSteps;
  registerBackend(cudaBackendName, cudaKernels, priority, () => backend);
  open = { number, device };
  return device;
}

function opened(open: () => Device): Device {
  try {
    return open();
  } catch (error) {
    throw new DeviceError(`cuda: ${(error as Error).message}`, { cause: error });
  }
}
