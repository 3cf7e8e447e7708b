// SPDX-License-Identifier: Apache-2.0
// DmAttentionBranch and its gradient; see packages/core/src/ops/attention-branch-kernels.ts. Saved: mean and rstd [rows], logSumExp
// [batch * heads * tokens]; attended [rows, width], projected [rows, 3 width] (cross: [rows, width]) and projectedContext [batch *
// keys, 2 width], these three in bfloat16 with that precision: two to a float32 of the tensor that tfjs sees.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { present, tokensOf, windowNumbers } from './attention.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';
import { floats, isBfloat16, typedFloats } from './mlp-branch.ts';

interface Sizes {
  readonly batch: number;
  readonly tokens: number;
  readonly contextTokens: number;
  readonly width: number;
  readonly cross: boolean;
  readonly biased: boolean;
  readonly numbers: readonly number[];
}

function sizesOf(call: KernelCall): Sizes {
  const [batch, tokens, width] = tokensOf(input(call, 'x'));
  const cross = call.attrs['kind'] === 'cross';
  const biased = present(call, 'relBias') !== undefined;
  const [, contextTokens] = cross ? tokensOf(input(call, 'context')) : [0, 0];
  const numbers = [
    batch,
    tokens,
    contextTokens,
    width,
    call.attrs['heads'] as number,
    call.attrs['epsilon'] as number,
    ...[isBfloat16(call), present(call, 'branchScale') !== undefined, cross, biased].map(Number),
    ...windowNumbers(call.attrs),
  ];
  return { batch, tokens, contextTokens, width, cross, biased, numbers };
}

function attentionBranch(call: KernelCall): TensorInfo[] {
  const { batch, tokens, contextTokens, width, cross, numbers } = sizesOf(call);
  const own = ['x', 'normWeight', 'normBias', 'qWeight', 'qBias', 'projWeight', 'projBias'];
  const names = [...own, 'context', 'kvWeight', cross ? 'kvBias' : 'kvWeight', 'relBias'];
  const rows = batch * tokens;
  const outputs = [
    floats(batch, tokens, width),
    floats(rows),
    floats(rows),
    typedFloats(call, rows * width),
    floats(rows * (call.attrs['heads'] as number)),
    typedFloats(call, rows * width * (cross ? 1 : 3)),
    ...(cross ? [typedFloats(call, batch * contextTokens * 2 * width)] : []),
  ];
  const inputs = [...names, 'branchScale'].map((name) => input(call, name));
  return call.backend.executeAll('DmAttentionBranch', inputs, outputs, numbers);
}

function attentionBranchGrad(call: KernelCall): TensorInfo[] {
  const { batch, tokens, contextTokens, width, cross, biased, numbers } = sizesOf(call);
  const own = ['dy', 'x', 'normWeight', 'normBias', 'qWeight', 'projWeight'];
  const others = ['context', 'kvWeight', 'relBias', 'branchScale'];
  const saved = ['mean', 'rstd', 'attended', 'logSumExp', 'projected'];
  const names = [...own, ...others, ...saved, ...(cross ? ['projectedContext'] : [])];
  const projected = width * (cross ? 1 : 3);
  const outputs = [
    floats(batch, tokens, width),
    floats(width),
    floats(width),
    floats(projected, width),
    floats(projected),
    floats(width, width),
    floats(width),
    ...(biased ? [floats(...input(call, 'relBias').shape)] : []),
    ...(cross
      ? [floats(2 * width, width), floats(2 * width), floats(batch, contextTokens, width)]
      : []),
  ];
  const inputs = names.map((name) => input(call, name));
  return call.backend.executeAll('DmAttentionBranchGrad', inputs, outputs, numbers);
}

export const attentionBranchKernels: readonly NativeKernel[] = [
  { name: 'DmAttentionBranch', run: attentionBranch },
  { name: 'DmAttentionBranchGrad', run: attentionBranchGrad },
];
