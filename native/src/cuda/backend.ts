// SPDX-License-Identifier: Apache-2.0
// The tfjs backend `diffmavil-cuda`: tensors on a GPU. Nothing waits for the GPU but what reads values at once (dataSync, a kernel of the
// processor); data() does not hold up the thread. A tensor that no kernel uses never leaves the host.
import * as tf from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { type BackendMemory, NativeBackend, bytesPerElement } from '../backend.ts';
import { dtypeCode } from '../binding.ts';
import type { Addon } from '../binding.ts';
import { Delegate } from '../delegate.ts';
import type { captureSteps } from './capture-steps.ts';
import { type Device, DeviceBinding } from './device.ts';
import { Processor } from './processor.ts';

/** The name for `tf.setBackend`. */
export const cudaBackendName = 'diffmavil-cuda';

/** What `tf.memory()` says on this backend. Bytes of this thread's context. */
export interface CudaMemory extends BackendMemory {
  /** All that is held on the device: tensors, what is kept for reuse, and workspace. */
  numBytesInGPU: number;
  /** Scratch of kernels, and of the library of matrix products. */
  numBytesWorkspace: number;
  /** Pinned memory of the host. */
  numBytesPinned: number;
}

export class CudaBackend extends NativeBackend {
  readonly device: Device;
  /** For programs that know a backend by what it can do; absent with DIFFMAVIL_CUDA_GRAPHS=off. */
  captureSteps?: typeof captureSteps;
  override readonly binding: DeviceBinding;

  constructor(device: Device, addon: Addon) {
    const binding = new DeviceBinding(device);
    super(cudaBackendName, binding, new Delegate(() => new Processor(addon)));
    this.binding = binding;
    this.device = device;
  }

  /** Copies the values of one tensor to the buffer of another of the same shape and dtype, in the order of the stream. */
  copyTo(from: TensorInfo, to: TensorInfo): void {
    const bytes = tf.util.sizeFromShape(from.shape) * bytesPerElement(from.dtype);
    this.binding.run('Copy', [this.buffer(from), this.buffer(to)], [bytes]);
  }

  /**
   * Has tensors travel to the device now, beside what runs there, not when a kernel uses them. That a backend has this method says that it
   * computes while the thread goes on.
   */
  prefetch(tensors: Iterable<TensorInfo>): void {
    for (const x of tensors) {
      if (dtypeCode(x.dtype) !== undefined) this.binding.prefetch(this.buffer(x));
    }
  }

  override memory(): CudaMemory {
    const { inUse, pooled, workspace, staging } = this.device.memory();
    return {
      ...super.memory(),
      numBytesInGPU: inUse + pooled + workspace,
      numBytesWorkspace: workspace,
      numBytesPinned: staging,
    };
  }

  /** `kernelMs` is time on the device, between what was started before and after `f`. */
  override async time(f: () => void): Promise<tf.BackendTimingInfo> {
    this.device.timeBegin();
    try {
      f();
    } catch (error) {
      this.device.timeEnd();
      throw error;
    }
    return { kernelMs: this.device.timeEnd() };
  }
}
