// SPDX-License-Identifier: Apache-2.0
// Native backends for tfjs: `registerNative(); await tf.setBackend('diffmavil-cpu')`, `registerCuda(); await tf.setBackend('diffmavil-cuda')`.
export type { Addon, NativeBuffer, NativeMemory, OpTable } from './binding.ts';
export { NativeBackend } from './backend.ts';
export type { BackendMemory, OutputSpec } from './backend.ts';
export { CudaBackend, cudaBackendName } from './cuda/backend.ts';
export type { CudaMemory } from './cuda/backend.ts';
export { captureSteps } from './cuda/capture-steps.ts';
export type { CapturedSteps, CaptureOptions, Tensors } from './cuda/capture-steps.ts';
export type { Device, DeviceMemory } from './cuda/device.ts';
export { cudaMode, findCuda } from './cuda/library.ts';
export type { CudaMode, CudaSearch } from './cuda/library.ts';
export { registerCuda } from './cuda/register.ts';
export type { RegisterCudaOptions } from './cuda/register.ts';
export { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
export { findAddon, loadAddon } from './loader.ts';
export type { AddonPlace, LoadAttempt, LoadResult } from './loader.ts';
export { platformName } from './platform.ts';
export { backendName, registerNative } from './register.ts';
export type { RegisterOptions } from './register.ts';
