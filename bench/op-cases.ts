// SPDX-License-Identifier: Apache-2.0
// The ops that a training step of the preset `base` spends its time in, at its shapes for two clips and mask ratio 0.8: 626 visible video
// tokens of width 768 in the encoder, 2510 masked ones of width 512 in the decoder, 2 x 512 audio tokens in windows.
import { adamwUpdate, gatherTokens, gelu, layerNorm, scatterTokens } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import { branchOpCases } from './branch-op-cases.ts';
import { memoryOpCases } from './memory-op-cases.ts';
import { affine, bytesOf, differentiable, float32, indices, normal, rowsOf } from './op-case.ts';
import type { OpCase, Tensors } from './op-case.ts';

/** a · b with either operand transposed: NN a layer's forward pass in tfjs's layout, NT in PyTorch's, TN a weight's gradient. */
function matmul(layout: 'NN' | 'NT' | 'TN', m: number, k: number, n: number): OpCase {
  const [transposeA, transposeB] = [layout === 'TN', layout === 'NT'];
  return {
    name: `matmul ${layout} ${m} x ${k} x ${n}`,
    precisions: float32,
    make: (share) => {
      // The rows of a batch are m, or k in a weight's gradient.
      const [rows, inner] = transposeA ? [m, rowsOf(k, share)] : [rowsOf(m, share), k];
      const a = transposeA ? normal(inner, rows) : normal(rows, inner);
      const b = transposeB ? normal(n, inner) : normal(inner, n);
      const product = (): tf.Tensor => tf.matMul(a, b, transposeA, transposeB);
      return differentiable({ a, b }, 2 * rows * inner * n, rows * n, product);
    },
  };
}

function rowOp(
  name: string,
  shape: readonly [number, number],
  op: (given: Tensors) => tf.Tensor,
  extra: () => Tensors = () => ({}),
): OpCase {
  const [rows, width] = shape;
  return {
    name: `${name} ${rows} x ${width}`,
    precisions: float32,
    make: (share) => {
      const given = { x: normal(rowsOf(rows, share), width), ...extra() };
      return differentiable(given, 0, given.x.size, () => op(given));
    },
  };
}

function gather(batch: number, tokens: number, count: number, width: number): OpCase {
  return {
    name: `gather tokens ${batch} x ${count} of ${tokens} x ${width}`,
    precisions: float32,
    make: (share) => {
      const [all, kept] = [rowsOf(tokens, share), rowsOf(count, share)];
      const x = normal(batch, all, width);
      const places = indices(batch, kept, all);
      const made = differentiable({ x }, 0, batch * kept * width, () => gatherTokens(x, places), {
        places,
      });
      // Only the kept tokens are read; backward writes all.
      const [moved, filled] = [8 * batch * kept * width, 4 * x.size];
      const bytes = [moved, 2 * moved + filled];
      return {
        ...made,
        phases: made.phases.map((phase, i) => ({ ...phase, cost: { flops: 0, bytes: bytes[i]! } })),
      };
    },
  };
}

function scatter(batch: number, tokens: number, width: number): OpCase {
  return {
    name: `scatter tokens ${batch} x ${tokens} x ${width}`,
    precisions: float32,
    make: (share) => {
      const all = rowsOf(tokens, share);
      const x = normal(batch, all, width);
      const places = indices(batch, all, all);
      return differentiable({ x }, 0, x.size, () => scatterTokens(x, places, all), { places });
    },
  };
}

/** All weights of one encoder block, updated in one call. */
function adamw(width: number, alone: boolean = false): OpCase {
  return {
    name: `${alone ? 'from memory: ' : ''}AdamW, one block of width ${width}`,
    precisions: float32,
    alone,
    make: (share) => {
      const wide = rowsOf(width, share);
      const shapes = [[3 * wide, width], [3 * wide], [wide, width], [4 * wide, width], [4 * wide]];
      const record = (make: (shape: number[]) => tf.Tensor): Tensors =>
        Object.fromEntries(shapes.map((shape, i) => [`weight${i}`, make(shape)]));
      let state = {
        parameters: record((shape) => normal(...shape)),
        firstMoments: record((shape) => tf.zeros(shape)),
        secondMoments: record((shape) => tf.zeros(shape)),
      };
      const gradients = record((shape) => normal(...shape));
      const options = { learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
      let step = 0;
      const run = (): void => {
        step++;
        state = adamwUpdate({ ...state, gradients }, { ...options, weightDecay: 0.05, step });
      };
      // Reads weight, gradient and two moments; writes weight and moments.
      const cost = { flops: 0, bytes: 7 * bytesOf(...Object.values(gradients)) };
      return {
        phases: [{ name: 'update', cost, run }],
        dispose: () => tf.dispose([state, gradients]),
      };
    },
  };
}

/** Every op of the table. */
export const opCases: readonly OpCase[] = [
  matmul('NN', 626, 768, 3072),
  matmul('NT', 626, 768, 3072),
  matmul('TN', 768, 626, 3072),
  matmul('NN', 2510, 512, 2048),
  matmul('NT', 2510, 512, 2048),
  matmul('TN', 512, 2510, 2048),
  rowOp('softmax', [7512, 313], ({ x }) => tf.softmax(x!)),
  rowOp(
    'layer norm',
    [2510, 512],
    ({ x, weight, bias }) => layerNorm(x!, { weight: weight!, bias: bias! }),
    () => affine(512),
  ),
  rowOp('gelu', [2510, 2048], ({ x }) => gelu(x!)),
  ...branchOpCases,
  gather(2, 1568, 313, 1536),
  scatter(2, 512, 512),
  adamw(768),
  ...memoryOpCases,
  adamw(1536, true),
];
