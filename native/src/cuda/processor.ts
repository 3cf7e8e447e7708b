// SPDX-License-Identifier: Apache-2.0
// Where a device's backend hands the kernels it has not: the processor's backend, which hands on what it has not either.
import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.ts';
import type { Addon } from '../binding.ts';
import type { DelegateTarget, KernelInputs } from '../delegate.ts';
import { nativeKernels } from '../kernels/index.ts';
import type { KernelCall } from '../kernels/kernel.ts';
import { backendName, makeNativeBackend, registerKernels } from '../register.ts';

export class Processor implements DelegateTarget {
  readonly #backend: NativeBackend;

  constructor(addon: Addon) {
    this.#backend = makeNativeBackend(addon);
    // For the kernels that are made of others.
    registerKernels(backendName, nativeKernels);
  }

  run(
    kernelName: string,
    inputs: KernelInputs,
    attrs: NamedAttrMap | undefined,
  ): TensorInfo | TensorInfo[] {
    const kernel = nativeKernels.find(({ name }) => name === kernelName);
    const call = { inputs, attrs: attrs ?? {}, backend: this.#backend } as KernelCall;
    const outputs = kernel?.run(call) ?? null;
    return outputs ?? this.#backend.delegate.forward(kernelName, inputs, attrs, this.#backend);
  }

  lend(x: TensorInfo, from: NativeBackend): TensorInfo {
    return copied(x, from, this.#backend);
  }

  giveBack(x: TensorInfo, to: NativeBackend): TensorInfo {
    return copied(x, this.#backend, to);
  }

  dispose({ dataId }: TensorInfo): void {
    this.#backend.disposeData(dataId, true);
  }
}

function copied(x: TensorInfo, from: NativeBackend, to: NativeBackend): TensorInfo {
  if (x.dtype !== 'complex64') return to.upload(from.readSync(x.dataId), x.shape, x.dtype);
  // The parts keep the shape they were made with.
  const { real, imag } = from.parts(x);
  const part = ({ dataId }: TensorInfo): TensorInfo =>
    copied({ dataId, shape: x.shape, dtype: 'float32' }, from, to);
  return to.makeComplex(part(real), part(imag));
}
