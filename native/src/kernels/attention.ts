// SPDX-License-Identifier: Apache-2.0
// DmAttention and its gradient; see packages/core/src/ops/attention.ts. Saved: logSumExp, [batch * heads * queries] powers of two.
import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** An input that is there: those that are not come with no elements, or not at all. */
export function present(call: KernelCall, name: string): TensorInfo | undefined {
  const tensor = call.inputs[name];
  return tensor === undefined || (tensor.shape.length === 1 && tensor.shape[0] === 0)
    ? undefined
    : tensor;
}

/** [rows, columns, a, b, down, right], all 0 without windows. */
export function windowNumbers(attrs: NamedAttrMap): number[] {
  const numbers = ['grid', 'size', 'shift'].flatMap((name) => attrs[name] as number[]);
  return numbers.length === 6 ? numbers : [0, 0, 0, 0, 0, 0];
}

/** [batch, rows, width] of an input. */
export function tokensOf(tensor: TensorInfo): [number, number, number] {
  const [batch = 0, rows = 0, width = 0] = tensor.shape;
  return [batch, rows, width];
}

function sizes(call: KernelCall): number[] {
  const [batch, queries, width] = tokensOf(input(call, 'query'));
  const [, keys] = tokensOf(input(call, 'key'));
  const biased = present(call, 'relBias') === undefined ? 0 : 1;
  const heads = call.attrs['heads'] as number;
  return [batch, queries, keys, width, heads, biased, ...windowNumbers(call.attrs)];
}

const floats = (shape: readonly number[]): { shape: readonly number[]; dtype: 'float32' } => ({
  shape,
  dtype: 'float32',
});

function attention(call: KernelCall): TensorInfo[] {
  const numbers = sizes(call);
  const [batch = 0, queries = 0, , , heads = 0] = numbers;
  const query = input(call, 'query');
  const inputs = [query, input(call, 'key'), input(call, 'value'), input(call, 'relBias')];
  const outputs = [floats(query.shape), floats([batch * heads * queries])];
  return call.backend.executeAll('DmAttention', inputs, outputs, numbers);
}

function attentionGrad(call: KernelCall): TensorInfo[] {
  const names = ['dy', 'query', 'key', 'value', 'relBias', 'y', 'logSumExp'];
  const inputs = names.map((name) => input(call, name));
  const outputs = ['query', 'key', 'value', 'relBias']
    .map((name) => present(call, name))
    .filter((tensor) => tensor !== undefined)
    .map(({ shape }) => floats(shape));
  return call.backend.executeAll('DmAttentionGrad', inputs, outputs, sizes(call));
}

export const attentionKernels: readonly NativeKernel[] = [
  { name: 'DmAttention', run: attention },
  { name: 'DmAttentionGrad', run: attentionGrad },
];
