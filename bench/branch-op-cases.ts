// SPDX-License-Identifier: Apache-2.0
// The branches of a block, attention and MLP. B batch, T tokens, C width.
import { attentionBranch, mlpBranch } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { affine, both, differentiable, normal, rowsOf } from './op-case.ts';
import type { OpCase, Tensors } from './op-case.ts';

function linearWeights(out: number, into: number): { weight: tf.Tensor; bias: tf.Tensor } {
  return {
    weight: tf.tidy(() => tf.mul(normal(out, into), into ** -0.5)),
    bias: tf.zeros([out]),
  };
}

/** Weights by dotted name, as gradients want them. */
function flatten(nested: Record<string, { weight: tf.Tensor; bias: tf.Tensor }>): Tensors {
  return Object.fromEntries(
    Object.entries(nested).flatMap(([name, { weight, bias }]) => [
      [`${name}.weight`, weight],
      [`${name}.bias`, bias],
    ]),
  );
}

interface Tokens {
  readonly batch: number;
  readonly tokens: number;
  readonly width: number;
  readonly heads: number;
}

function selfAttention({ batch, tokens, width, heads }: Tokens): OpCase {
  return {
    name: `attention branch, self ${batch} x ${tokens} x ${width}`,
    precisions: both,
    make: (share) => {
      const count = rowsOf(tokens, share);
      const x = normal(batch, count, width);
      const p = {
        norm: affine(width),
        qkv: linearWeights(3 * width, width),
        proj: linearWeights(width, width),
      };
      const flops = batch * count * (8 * width * width + 4 * count * width);
      return differentiable({ x, ...flatten(p) }, flops, x.size, (precision) =>
        attentionBranch(x, p, { kind: 'self', heads, precision }),
      );
    },
  };
}

function crossAttention({ batch, tokens, width, heads }: Tokens, keys: number): OpCase {
  return {
    name: `attention branch, cross ${batch} x ${tokens} to ${keys} x ${width}`,
    precisions: both,
    make: (share) => {
      const [count, seen] = [rowsOf(tokens, share), rowsOf(keys, share)];
      const [x, context] = [normal(batch, count, width), normal(batch, seen, width)];
      const p = {
        norm: affine(width),
        q: linearWeights(width, width),
        kv: linearWeights(2 * width, width),
        proj: linearWeights(width, width),
      };
      const flops = 4 * batch * width * ((count + seen) * width + count * seen);
      return differentiable({ x, context, ...flatten(p) }, flops, x.size, (precision) =>
        attentionBranch(x, p, { kind: 'cross', heads, context, precision }),
      );
    },
  };
}

function windowAttention({ batch, width, heads }: Omit<Tokens, 'tokens'>): OpCase {
  return {
    name: `attention branch, 4 x 4 windows ${batch} x 512 x ${width}`,
    precisions: both,
    make: (share) => {
      const grid = [4 * Math.max(2, Math.round(16 * share)), 8] as const;
      const count = grid[0] * grid[1];
      const x = normal(batch, count, width);
      const relBias = normal(49, heads);
      const p = {
        norm: affine(width),
        qkv: linearWeights(3 * width, width),
        proj: linearWeights(width, width),
      };
      const window = { grid, size: [4, 4], shift: [2, 2] } as const;
      const flops = batch * count * (8 * width * width + 64 * width);
      return differentiable({ x, relBias, ...flatten(p) }, flops, x.size, (precision) =>
        attentionBranch(x, { ...p, relBias }, { kind: 'window', heads, precision, ...window }),
      );
    },
  };
}

function mlp({ batch, tokens, width }: Omit<Tokens, 'heads'>): OpCase {
  return {
    name: `mlp branch ${batch} x ${tokens} x ${width}`,
    precisions: both,
    make: (share) => {
      const count = rowsOf(tokens, share);
      const x = normal(batch, count, width);
      const p = {
        norm: affine(width),
        fc1: linearWeights(4 * width, width),
        fc2: linearWeights(width, 4 * width),
      };
      const flops = batch * count * 16 * width * width;
      return differentiable({ x, ...flatten(p) }, flops, x.size, (precision) =>
        mlpBranch(x, p, { precision }),
      );
    },
  };
}

const video: Tokens = { batch: 2, tokens: 313, width: 768, heads: 12 };
const masked: Tokens = { batch: 2, tokens: 1255, width: 512, heads: 16 };

export const branchOpCases: readonly OpCase[] = [
  selfAttention(video),
  crossAttention(masked, 313),
  windowAttention({ batch: 2, width: 512, heads: 16 }),
  mlp(video),
  mlp(masked),
];
