// SPDX-License-Identifier: Apache-2.0
// Runs the kernels we have not written, and the cases of ours that we have not covered, on a private instance of another backend, tfjs's
// own cpu backend in the end: values are copied in and out, so neither side sees the other's memory. Every such call is counted by
// kernel name, and is an error under DIFFMAVIL_STRICT=1.
import { DeviceError } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu/dist/backend_cpu.js';
import type { BackendValues, KernelConfig, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import type { NativeBackend } from './backend.ts';

/** A kernel's inputs as tfjs passes them: by name or by place, an input sometimes a list. */
export type KernelInputs = Readonly<Record<string, TensorInfo | readonly TensorInfo[] | undefined>>;

const counts = new Map<string, number>();

/**
 * How often each kernel ran elsewhere than on its backend since the last `resetDelegatedKernels`: on tfjs's cpu backend or, one of
 * `diffmavil-cuda`, on `diffmavil-cpu`.
 */
export function delegatedKernels(): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function resetDelegatedKernels(): void {
  counts.clear();
}

/**
 * Kernels of tfjs's cpu backend, but for those of `@diffmavil/core`, which are there once they ran on it: core composes them of the kernels
 * of the backend that they run on. Loads it, which also registers the backend `cpu`.
 */
export function delegableKernels(): KernelConfig[] {
  cpuPackage();
  return tf.getKernelsForBackend('cpu').filter(({ kernelName }) => !kernelName.startsWith('Dm'));
}

/** A private instance of another backend, for the kernels of one that lacks them. */
export interface DelegateTarget {
  /** Runs a kernel on tensors of its own. */
  run(
    kernelName: string,
    inputs: KernelInputs,
    attrs: NamedAttrMap | undefined,
  ): TensorInfo | TensorInfo[];
  /** A copy of a tensor of `from`. */
  lend(x: TensorInfo, from: NativeBackend): TensorInfo;
  /** A copy of a tensor, for `to`. */
  giveBack(x: TensorInfo, to: NativeBackend): TensorInfo;
  dispose(x: TensorInfo): void;
}

/** Hands kernels to a private backend, made when the first kernel needs it. */
export class Delegate {
  readonly #make: () => DelegateTarget;
  #target: DelegateTarget | undefined;

  constructor(make: () => DelegateTarget) {
    this.#make = make;
  }

  /**
   * Runs a kernel of the other backend on tensors of ours.
   *
   * @throws DeviceError under DIFFMAVIL_STRICT=1, and for kernels that the other backend lacks too.
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
    return this.forward(kernelName, inputs, attrs, backend);
  }

  /** `run` that is neither counted nor refused: for a delegate's own delegate. */
  forward(
    kernelName: string,
    inputs: KernelInputs,
    attrs: NamedAttrMap | undefined,
    backend: NativeBackend,
  ): TensorInfo | TensorInfo[] {
    this.#target ??= this.#make();
    const target = this.#target;
    const lent: TensorInfo[] = [];
    const lend = (x: TensorInfo): TensorInfo => {
      const copy = target.lend(x, backend);
      lent.push(copy);
      return copy;
    };
    let results: TensorInfo[] = [];
    try {
      const outputs = target.run(kernelName, mapInputs(inputs, lend), attrs);
      results = Array.isArray(outputs) ? outputs : [outputs];
      const ours = results.map((result) => target.giveBack(result, backend));
      return Array.isArray(outputs) ? ours : (ours[0] as TensorInfo);
    } finally {
      // An output may share the data of an input.
      for (const x of [...results, ...lent]) target.dispose(x);
    }
  }
}

/** tfjs's own cpu backend. */
export class TfjsCpu implements DelegateTarget {
  readonly #cpu: MathBackendCPU;

  constructor() {
    this.#cpu = new (cpuPackage().MathBackendCPU)();
    // Its note that a faster backend exists is not for those who chose one.
    (this.#cpu as unknown as { firstUse: boolean }).firstUse = false;
  }

  run(
    kernelName: string,
    inputs: KernelInputs,
    attrs: NamedAttrMap | undefined,
  ): TensorInfo | TensorInfo[] {
    const kernel = tf.getKernel(kernelName, 'cpu');
    if (kernel === undefined) {
      throw new DeviceError(
        `native: expected a kernel ${kernelName}, got none in tfjs-backend-cpu either`,
      );
    }
    return kernel.kernelFunc({
      inputs: inputs as Record<string, TensorInfo>,
      ...(attrs === undefined ? {} : { attrs }),
      backend: this.#cpu,
    });
  }

  lend(x: TensorInfo, from: NativeBackend): TensorInfo {
    // Some of its kernels read `rank`, which a TensorInfo does not have.
    const rank = { rank: x.shape.length };
    if (x.dtype !== 'complex64') {
      const values = from.readSync(x.dataId);
      return { ...this.#cpu.makeTensorInfo(x.shape, x.dtype, values), ...rank };
    }
    const { real, imag } = from.parts(x);
    const copy = this.#cpu.makeTensorInfo(x.shape, 'complex64');
    this.#cpu.data.get(copy.dataId).complexTensorInfos = {
      real: this.lend(real, from),
      imag: this.lend(imag, from),
    };
    return { ...copy, ...rank };
  }

  giveBack(x: TensorInfo, to: NativeBackend): TensorInfo {
    const data = this.#cpu.data.get(x.dataId);
    if (data.complexTensorInfos === undefined) {
      return to.upload(data.values as BackendValues, x.shape, x.dtype);
    }
    const { real, imag } = data.complexTensorInfos;
    return to.makeComplex(this.giveBack(real, to), this.giveBack(imag, to));
  }

  dispose({ dataId }: TensorInfo): void {
    this.#cpu.disposeData(dataId, true); // unknown ids are ignored
  }
}

function cpuPackage(): { readonly MathBackendCPU: new () => MathBackendCPU } {
  return createRequire(import.meta.url)('@tensorflow/tfjs-backend-cpu') as {
    readonly MathBackendCPU: new () => MathBackendCPU;
  };
}

function mapInputs(inputs: KernelInputs, lend: (x: TensorInfo) => TensorInfo): KernelInputs {
  const convert = (x: KernelInputs[string]): unknown => {
    if (x === undefined || x === null) return x;
    return Array.isArray(x) ? x.map(lend) : lend(x as TensorInfo);
  };
  if (Array.isArray(inputs)) return inputs.map(convert) as unknown as KernelInputs;
  const entries = Object.entries(inputs).map(([name, x]) => [name, convert(x)]);
  return Object.fromEntries(entries) as KernelInputs;
}

function signature(inputs: KernelInputs): string {
  const parts = Object.entries(inputs).map(([name, x]) => {
    const one = Array.isArray(x) ? undefined : (x as TensorInfo | undefined);
    return one === undefined ? name : `${name}: ${one.dtype} [${one.shape.join(', ')}]`;
  });
  return `(${parts.join('; ')})`;
}
