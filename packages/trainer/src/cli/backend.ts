// SPDX-License-Identifier: Apache-2.0
// The one place that chooses a tfjs backend.
import { DeviceError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

export const backendNames = ['auto', 'diffmavil-cpu', 'diffmavil-cuda', 'cpu', 'wasm'] as const;
export type BackendName = (typeof backendNames)[number];

/**
 * Starts a backend. `auto` takes a GPU where there is one that can be used, else the native one of the processor, else WebAssembly, else
 * plain JavaScript. A warning says why it is not the GPU where one is visible, and why not the native one, unless DIFFMAVIL_CUDA=off and
 * DIFFMAVIL_NATIVE=off ask for that; DIFFMAVIL_CUDA=require makes `auto` mean the GPU.
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
      return (await useGpu()) ?? useNative().catch(useAnother);
    case 'diffmavil-cpu':
      return useNative();
    case 'diffmavil-cuda':
      return useCuda();
    default:
      name satisfies never;
      throw new DeviceError(`backend: expected ${backendNames.join(' or ')}, got ${String(name)}`);
  }
}

async function importNative(): Promise<typeof import('@diffmavil/native')> {
  return import('@diffmavil/native').catch((error: unknown) => {
    throw new DeviceError(
      `backend: expected @diffmavil/native, got ${(error as Error).message}. Try: npm install @diffmavil/native`,
    );
  });
}

async function useNative(): Promise<string> {
  const { backendName, registerNative } = await importNative();
  registerNative();
  return start(backendName);
}

async function useCuda(): Promise<string> {
  const { cudaBackendName, registerCuda } = await importNative();
  registerCuda();
  return start(cudaBackendName);
}

/** The GPU where the environment lets it be chosen and it can be used, else null. */
async function useGpu(): Promise<string | null> {
  const native = await importNative().catch(() => null);
  if (native === null || process.env['DIFFMAVIL_NATIVE'] === 'off') return null;
  const mode = native.cudaMode();
  if (mode === 'require') return useCuda();
  if (mode === 'off') return null;
  const { devices, problem, visible } = native.findCuda();
  const unusable = (reason: string): null => {
    warn('DIFFMAVIL_CUDA_FALLBACK', `${reason} Going on without the GPU.`);
    return null;
  };
  if (devices === 0) return visible && problem !== null ? unusable(`${problem}.`) : null;
  return useCuda().catch((error: Error) => unusable(`${error.message}.`));
}

async function useAnother(problem: unknown): Promise<string> {
  if (process.env['DIFFMAVIL_NATIVE'] !== 'off') {
    const [reason] = (problem as Error).message.split('\n');
    warn(
      'DIFFMAVIL_NATIVE_FALLBACK',
      `${reason} Going on with a slower backend. Try: diffmavil doctor`,
    );
  }
  return useWasm().catch(useCpu);
}

function warn(code: string, message: string): void {
  process.emitWarning(message, { type: 'DiffMavilWarning', code });
}

/** Name, compute capability and memory of the GPU in use, and the library's file. */
export async function describeCuda(): Promise<string> {
  const { findCuda, registerCuda } = await importNative();
  const { name, major, minor, totalBytes } = registerCuda();
  const memory = `${(totalBytes / 1e9).toFixed(1)} GB`;
  return `${name}, compute capability ${major}.${minor}, ${memory}, ${findCuda().place}`;
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
