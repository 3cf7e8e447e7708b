// SPDX-License-Identifier: Apache-2.0
// Runs the kernels we have not written, and the cases of ours that we have not covered, on a private instance of tfjs's own cpu
// backend: values are copied in and out, so neither side sees the other's memory. Every such call is counted by kernel name, and
// is an error under DIFFMAVIL_STRICT=1.
import { DeviceError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu/dist/backend_cpu.js';
import type { BackendValues, KernelConfig, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import type { NativeBackend } from './backend.ts';

/** A kernel's inputs as tfjs passes them: by name or by place, an input sometimes a list. */
export type KernelInputs = Readonly<Record<string, TensorInfo | readonly TensorInfo[] | undefined>>;

const counts = new Map<string, number>();

/** How often each kernel ran on tfjs's cpu backend instead of natively, since the last `resetDelegatedKernels`. */
export function delegatedKernels(): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function resetDelegatedKernels(): void {
  counts.clear();
}

/** Kernel names of tfjs's cpu backend. Loads it, which also registers the backend `cpu`. */
export function delegableKernels(): KernelConfig[] {
  cpuPackage();
  return tf.getKernelsForBackend('cpu');
}

/** The private backend, made when the first kernel needs it. */
export class Delegate {
  #cpu: MathBackendCPU | undefined;

  /**
   * Runs a kernel of the cpu backend on tensors of ours.
   *
   * @throws DeviceError under DIFFMAVIL_STRICT=1, and for kernels that the cpu backend lacks too.
   */
  run(
    kernelName: string,
    inputs: KernelInputs,
    attrs: NamedAttrMap | undefined,
    backend: NativeBackend,
  ): TensorInfo | TensorInfo[] {
    if (process.env['DIFFMAVIL_STRICT'] === '1') {
      throw new DeviceError(
        `native: expected a native kernel for ${kernelName} ${signature(inputs)} under DIFFMAVIL_STRICT=1, got none. Try: unset DIFFMAVIL_STRICT`,
      );
    }
    counts.set(kernelName, (counts.get(kernelName) ?? 0) + 1);
    const cpu = this.#backend();
    const kernel = tf.getKernel(kernelName, 'cpu');
    if (kernel === undefined) {
      throw new DeviceError(
        `native: expected a kernel ${kernelName}, got none in tfjs-backend-cpu either`,
      );
    }
    const lent: TensorInfo[] = [];
    const lend = (x: TensorInfo): TensorInfo => {
      const copy = toCpu(x, cpu, backend);
      lent.push(copy);
      return copy;
    };
    let results: TensorInfo[] = [];
    try {
      const outputs = kernel.kernelFunc({
        inputs: mapInputs(inputs, lend) as Record<string, TensorInfo>,
        ...(attrs === undefined ? {} : { attrs }),
        backend: cpu,
      });
      results = Array.isArray(outputs) ? outputs : [outputs];
      const ours = results.map((result) => fromCpu(result, cpu, backend));
      return Array.isArray(outputs) ? ours : (ours[0] as TensorInfo);
    } finally {
      // An output may share the data of an input; unknown ids are ignored.
      for (const { dataId } of [...results, ...lent]) cpu.disposeData(dataId, true);
    }
  }

  #backend(): MathBackendCPU {
    if (this.#cpu === undefined) {
      this.#cpu = new (cpuPackage().MathBackendCPU)();
      // Its note that a faster backend exists is not for those who chose one.
      (this.#cpu as unknown as { firstUse: boolean }).firstUse = false;
    }
    return this.#cpu;
  }
}

function cpuPackage(): { readonly MathBackendCPU: new () => MathBackendCPU } {
  return createRequire(import.meta.url)('@tensorflow/tfjs-backend-cpu') as {
    readonly MathBackendCPU: new () => MathBackendCPU;
  };
}

function mapInputs(inputs: KernelInputs, lend: (x: TensorInfo) => TensorInfo): unknown {
  const convert = (x: KernelInputs[string]): unknown => {
    if (x === undefined || x === null) return x;
    return Array.isArray(x) ? x.map(lend) : lend(x as TensorInfo);
  };
  if (Array.isArray(inputs)) return inputs.map(convert);
  return Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, convert(x)]));
}

function toCpu(x: TensorInfo, cpu: MathBackendCPU, backend: NativeBackend): TensorInfo {
  // Some of its kernels read `rank`, which a TensorInfo does not have.
  const rank = { rank: x.shape.length };
  if (x.dtype !== 'complex64') {
    return {
      ...cpu.makeTensorInfo(x.shape, x.dtype, backend.readSync(x.dataId)),
      ...rank,
    };
  }
  const { real, imag } = backend.parts(x);
  const copy = cpu.makeTensorInfo(x.shape, 'complex64');
  cpu.data.get(copy.dataId).complexTensorInfos = {
    real: toCpu(real, cpu, backend),
    imag: toCpu(imag, cpu, backend),
  };
  return { ...copy, ...rank };
}

function fromCpu(x: TensorInfo, cpu: MathBackendCPU, backend: NativeBackend): TensorInfo {
  const data = cpu.data.get(x.dataId);
  if (data.complexTensorInfos === undefined) {
    return backend.upload(data.values as BackendValues, x.shape, x.dtype);
  }
  const { real, imag } = data.complexTensorInfos;
  return backend.makeComplex(fromCpu(real, cpu, backend), fromCpu(imag, cpu, backend));
}

function signature(inputs: KernelInputs): string {
  const parts = Object.entries(inputs).map(([name, x]) => {
    const one = Array.isArray(x) ? undefined : (x as TensorInfo | undefined);
    return one === undefined ? name : `${name}: ${one.dtype} [${one.shape.join(', ')}]`;
  });
  return `(${parts.join('; ')})`;
}
