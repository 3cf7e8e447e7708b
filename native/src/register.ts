// SPDX-License-Identifier: Apache-2.0
// Makes the backend known to tfjs: native kernels where we have them, the rest through the delegate.
import { ConfigError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { NativeBackend } from './backend.ts';
import { Binding } from './binding.ts';
import type { Addon } from './binding.ts';
import { Delegate, TfjsCpu, delegableKernels } from './delegate.ts';
import { registerGatherGradient } from './gather-gradient.ts';
import { registerGradients } from './gradients.ts';
import { registerEinsumGradient } from './gradients/einsum.ts';
import { registerMatmulGradient } from './gradients/matmul.ts';
import { nativeKernels } from './kernels/index.ts';
import type { KernelCall, NativeKernel } from './kernels/kernel.ts';
import { loadAddon } from './loader.ts';

/** The name for `tf.setBackend`. Without an underscore, which tfjs splits names at. */
export const backendName = 'diffmavil-cpu';

/** Above tfjs's own backends (wasm 2, webgpu 3, node 3), below a GPU. */
const priority = 4;

export interface RegisterOptions {
  /** Threads of the native ops, 1..256. Default: DIFFMAVIL_THREADS, else the physical cores. */
  readonly threads?: number;
}

/**
 * Registers the backend `diffmavil-cpu` with tfjs; a second call only sets the threads. Gradients of all tfjs kernels are
 * registered too, as they are by `@diffmavil/core`.
 *
 * @throws DeviceError when the addon cannot be loaded, with every place that was looked at.
 * @throws ConfigError when threads is no integer 1..256.
 */
export function registerNative(options: RegisterOptions = {}): void {
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw new ConfigError(
      `registerNative: expected threads to be an integer 1..256, got ${threads}`,
    );
  }
  const addon = loadAddon();
  if (threads !== undefined) addon.setThreads(threads);
  registerBackend(backendName, nativeKernels, priority, () => makeNativeBackend(addon));
}

/** The processor's backend, registered or not. */
export function makeNativeBackend(addon: Addon): NativeBackend {
  return new NativeBackend(backendName, new Binding(addon), new Delegate(() => new TfjsCpu()));
}

/** Registers a backend with these kernels, all others of tfjs through its delegate, and our gradients; again does nothing. */
export function registerBackend(
  name: string,
  kernels: readonly NativeKernel[],
  priority: number,
  make: () => NativeBackend,
): void {
  if (tf.findBackendFactory(name) !== null) return;
  registerKernels(name, kernels);
  registerGatherGradient();
  registerGradients();
  registerEinsumGradient();
  registerMatmulGradient();
  tf.registerBackend(name, make, priority);
}

/** Registers these kernels for a backend, and all others through its delegate; again does nothing. */
export function registerKernels(name: string, kernels: readonly NativeKernel[]): void {
  if (tf.getKernel('Identity', name) !== undefined) return;
  const known = new Set(kernels.map((kernel) => kernel.name));
  const others = new Set(nativeKernels.map((kernel) => kernel.name));
  for (const { kernelName } of delegableKernels()) others.add(kernelName);
  for (const kernel of kernels) registerKernel(name, kernel.name, kernel);
  for (const other of others) if (!known.has(other)) registerKernel(name, other, undefined);
}

function registerKernel(
  backendName: string,
  kernelName: string,
  native: NativeKernel | undefined,
): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const ours = backend as NativeBackend;
      const call = { inputs, attrs: attrs ?? {}, backend: ours } as KernelCall;
      const outputs = native?.run(call) ?? null;
      return outputs ?? ours.delegate.run(kernelName, inputs, attrs, ours);
    },
  });
}
