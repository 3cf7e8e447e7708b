// SPDX-License-Identifier: Apache-2.0
// DmMlpBranch and its gradient; see packages/core/src/ops/mlp-branch.ts. Saved: mean and rstd [rows], and the preactivation [rows,
// hidden], in bfloat16 with that precision: two to a float32 of the tensor that tfjs sees.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { present, tokensOf } from './attention.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

interface Output {
  readonly shape: readonly number[];
  readonly dtype: 'float32';
}

/** A float32 tensor to be made. */
export const floats = (...shape: number[]): Output => ({ shape, dtype: 'float32' });

/** A tensor for this many elements of the precision of the products. */
export function typedFloats(call: KernelCall, elements: number): Output {
  return floats(isBfloat16(call) ? Math.ceil(elements / 2) : elements);
}

export const isBfloat16 = (call: KernelCall): boolean => call.attrs['precision'] === 'bfloat16';

function sizes(call: KernelCall): number[] {
  const [batch, tokens, width] = tokensOf(input(call, 'x'));
  const [hidden = 0] = input(call, 'fc1Weight').shape;
  const scaled = present(call, 'branchScale') !== undefined;
  const epsilon = call.attrs['epsilon'] as number;
  return [batch, tokens, width, hidden, epsilon, Number(isBfloat16(call)), Number(scaled)];
}

function mlpBranch(call: KernelCall): TensorInfo[] {
  const names = ['normWeight', 'normBias', 'fc1Weight', 'fc1Bias', 'fc2Weight', 'fc2Bias'];
  const numbers = sizes(call);
  const [batch = 0, tokens = 0, width = 0, hidden = 0] = numbers;
  const rows = batch * tokens;
  const inputs = ['x', ...names, 'branchScale'].map((name) => input(call, name));
  const outputs = [
    floats(batch, tokens, width),
    floats(rows),
    floats(rows),
    typedFloats(call, rows * hidden),
  ];
  return call.backend.executeAll('DmMlpBranch', inputs, outputs, numbers);
}

function mlpBranchGrad(call: KernelCall): TensorInfo[] {
  const names = ['dy', 'x', 'normWeight', 'normBias', 'fc1Weight', 'fc2Weight', 'branchScale'];
  const inputs = [...names, 'mean', 'rstd', 'preactivation'].map((name) => input(call, name));
  const numbers = sizes(call);
  const [batch = 0, tokens = 0, width = 0, hidden = 0] = numbers;
  const outputs = [
    floats(batch, tokens, width),
    floats(width),
    floats(width),
    floats(hidden, width),
    floats(hidden),
    floats(width, hidden),
    floats(width),
  ];
  return call.backend.executeAll('DmMlpBranchGrad', inputs, outputs, numbers);
}

export const mlpBranchKernels: readonly NativeKernel[] = [
  { name: 'DmMlpBranch', run: mlpBranch },
  { name: 'DmMlpBranchGrad', run: mlpBranchGrad },
];
