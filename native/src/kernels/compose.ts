// SPDX-License-Identifier: Apache-2.0
// Kernels that are made of other kernels of the backend.
import * as tf from '@tensorflow/tfjs-core';
import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.ts';

/** Runs a kernel of one output by its name. */
export type Run = (
  kernelName: string,
  inputs: Readonly<Record<string, TensorInfo>>,
  attrs?: Readonly<Record<string, unknown>>,
) => TensorInfo;

/** Hands a tensor over, to be dropped with the others. */
export type Own = (x: TensorInfo) => TensorInfo;

/** The result of `f`, which has to come from `run` or `own`; everything else that did is dropped, after an error too. */
export function composed(
  backend: NativeBackend,
  f: (run: Run, own: Own) => TensorInfo,
): TensorInfo {
  const made: TensorInfo[] = [];
  let result: TensorInfo | undefined;
  const own: Own = (x) => {
    made.push(x);
    return x;
  };
  const run: Run = (kernelName, inputs, attrs = {}) => {
    const { kernelFunc } = tf.getKernel(kernelName, backend.name);
    return own(kernelFunc({ inputs, attrs: attrs as NamedAttrMap, backend }) as TensorInfo);
  };
  try {
    result = f(run, own);
    return result;
  } finally {
    for (const tensor of made) if (tensor !== result) backend.disposeData(tensor.dataId);
  }
}

/** The kernels that follow a product or a convolution, by the name that tfjs has for the activation. */
const activations: Readonly<Record<string, string>> = {
  elu: 'Elu',
  leakyrelu: 'LeakyRelu',
  prelu: 'Prelu',
  relu: 'Relu',
  relu6: 'Relu6',
  sigmoid: 'Sigmoid',
};

/** Whether `activated` knows the activation that a fused kernel was asked for. */
export function isKnownActivation(attrs: NamedAttrMap): boolean {
  const name = attrs['activation'] as string | undefined;
  return name === undefined || name === 'linear' || name in activations;
}

/** The activation of a fused kernel; `alpha` is that of PReLU, as wide as y. */
export function activated(
  run: Run,
  y: TensorInfo,
  attrs: NamedAttrMap,
  alpha: TensorInfo | undefined,
): TensorInfo {
  const name = attrs['activation'] as string | undefined;
  const next = name === undefined ? undefined : activations[name];
  if (next === undefined) return y;
  const inputs = next === 'Prelu' && alpha !== undefined ? { x: y, alpha } : { x: y };
  return run(next, inputs, { alpha: attrs['leakyreluAlpha'] });
}
