// SPDX-License-Identifier: Apache-2.0
// The one place that chooses a tfjs backend.
import { DeviceError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

export const backendNames = ['auto', 'diffmavil-cpu', 'diffmavil-cuda', 'cpu', 'wasm'] as const;
export type BackendName = (typeof backendNames)[number];

/**
 * Starts a backend. `auto` takes the native one, else WebAssembly, else plain JavaScript; a warning says why it is not the native one,
 * unless DIFFMAVIL_NATIVE=off asks for that.
 * @returns The name of the backend in use.
 * @throws DeviceError when the named backend cannot be used; another one is never taken in its place.
 */
export async function useBackend(name: BackendName): Promise<string> {
  switch (name) {
    case 'cpu':
      return useCpu();
    case 'wasm':
      return useWasm();
    case 'auto':
      return useNative().catch(useAnother);
    case 'diffmavil-cpu':
      return useNative();
    case 'diffmavil-cuda':
      throw new DeviceError(
        `backend: expected one that is built, got ${name}, which this version does not have. Try: --backend auto`,
      );
    default:
      name satisfies never;
      throw new DeviceError(`backend: expected ${backendNames.join(' or ')}, got ${String(name)}`);
  }
}

async function useNative(): Promise<string> {
  const { backendName, registerNative } = await import('@diffmavil/native').catch((error) => {
    throw new DeviceError(
      `backend: expected @diffmavil/native, got ${(error as Error).message}. Try: npm install @diffmavil/native`,
    );
  });
  registerNative();
  return start(backendName);
}

async function useAnother(problem: unknown): Promise<string> {
  if (process.env['DIFFMAVIL_NATIVE'] !== 'off') {
    const [reason] = (problem as Error).message.split('\n');
    process.emitWarning(`${reason} Going on with a slower backend. Try: diffmavil doctor`, {
      type: 'DiffMavilWarning',
      code: 'DIFFMAVIL_NATIVE_FALLBACK',
    });
  }
  return useWasm().catch(useCpu);
}

/** Instruction set, threads and file of the native addon in use. */
export async function describeNative(): Promise<string> {
  const { findAddon } = await import('@diffmavil/native');
  const { addon, place } = findAddon();
  return addon === null ? 'not loaded' : `${addon.isa}, ${addon.threads} threads, ${place}`;
}

async function useCpu(): Promise<string> {
  const { MathBackendCPU } = await import('@tensorflow/tfjs-backend-cpu');
  await start('cpu');
  const backend = tf.backend();
  // tfjs greets on the first use of this backend and advises another package.
  if (backend instanceof MathBackendCPU)
    (backend as unknown as { firstUse: boolean }).firstUse = false;
  return 'cpu';
}

async function useWasm(): Promise<string> {
  await import('@tensorflow/tfjs-backend-wasm');
  return start('wasm');
}

async function start(name: string): Promise<string> {
  if (!(await tf.setBackend(name)))
    throw new DeviceError(`backend: expected ${name} to start, got a failure. Try: --backend cpu`);
  await tf.ready();
  return name;
}
