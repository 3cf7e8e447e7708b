// SPDX-License-Identifier: Apache-2.0
// Native CPU backend for tfjs: `registerNative(); await tf.setBackend('diffmavil-cpu')`.
export type { Addon, NativeBuffer, NativeMemory } from './binding.ts';
export { NativeBackend } from './backend.ts';
export type { BackendMemory, OutputSpec } from './backend.ts';
export { delegatedKernels, resetDelegatedKernels } from './delegate.ts';
export { findAddon, loadAddon } from './loader.ts';
export type { AddonPlace, LoadAttempt, LoadResult } from './loader.ts';
export { platformName } from './platform.ts';
export { backendName, registerNative } from './register.ts';
export type { RegisterOptions } from './register.ts';
