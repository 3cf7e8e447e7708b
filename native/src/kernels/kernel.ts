// SPDX-License-Identifier: Apache-2.0
// What a native kernel is to the registry: a tfjs kernel name, and a function that returns the outputs, or null for a case that it
// leaves to tfjs's cpu backend (a dtype, an attribute). Only a null may come before any output is made.
import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.ts';

export interface KernelCall {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: NamedAttrMap;
  readonly backend: NativeBackend;
}

export interface NativeKernel {
  readonly name: string;
  readonly run: (call: KernelCall) => TensorInfo | TensorInfo[] | null;
}

/** The input of this name. */
export function input(call: KernelCall, name: string): TensorInfo {
  const tensor = call.inputs[name];
  if (tensor === undefined) throw new Error(`native: expected an input ${name}, got none`);
  return tensor;
}

/** Elements of a shape. */
export function sizeOf({ shape }: { readonly shape: readonly number[] }): number {
  let size = 1;
  for (const length of shape) size *= length;
  return size;
}

/** A tensor as [elements before an axis, the length of the axis, elements after it]. */
export function aroundAxis({ shape }: TensorInfo, axis: number): [number, number, number] {
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)];
  return [sizeOf({ shape: before }), shape[axis] ?? 1, sizeOf({ shape: after })];
}
