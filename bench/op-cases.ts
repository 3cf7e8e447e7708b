// SPDX-License-Identifier: Apache-2.0
// The ops that a training step of the preset `base` spends its time in, at its shapes for two clips and mask ratio 0.8: 626 visible video
// tokens of width 768 in the encoder, 2510 masked ones of width 512 in the decoder, 2 x 512 audio tokens in windows.
//
// A case comes in sizes: `share` of its rows, so that a slow backend can be given less work. B batch, T tokens, C width.
import { fold, makeKey, normals, permutation, valueAndGrads } from '@diffmavil/core';
import {
  adamwUpdate,
  attentionBranch,
  gatherTokens,
  gelu,
  layerNorm,
  mlpBranch,
  scatterTokens,
} from '@diffmavil/core';
import type { Precision } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Cost } from './ceilings.ts';

/** One way to run an op, on tensors that are there already. */
export interface Phase {
  readonly name: 'forward' | 'backward' | 'forward + backward' | 'update';
  readonly cost: Cost;
  readonly run: (precision: Precision) => void;
}

export interface OpCase {
  readonly name: string;
  /** Arithmetic of its matrix products that it offers. */
  readonly precisions: readonly Precision[];
  /** Compared with memory, and with no other backend. Default false. */
  readonly alone?: boolean;
  /** Makes the tensors on the active backend. */
  readonly make: (share: number) => { readonly phases: Phase[]; readonly dispose: () => void };
}

type Tensors = Record<string, tf.Tensor>;

const key = makeKey(1);
const float32 = ['float32'] as const;
const both = ['float32', 'bfloat16'] as const;
const rowsOf = (rows: number, share: number): number => Math.max(4, Math.round(rows * share));

function normal(...shape: number[]): tf.Tensor {
  const values = normals(fold(key, ...shape), tf.util.sizeFromShape(shape));
  return tf.tensor(values, shape);
}

/** int32 [batch, count]: distinct tokens of each sample. */
function indices(batch: number, count: number, tokens: number): tf.Tensor {
  const values = Array.from({ length: batch }, (_, i) => [
    ...permutation(fold(key, i), tokens).subarray(0, count),
  ]);
  return tf.tensor2d(values, [batch, count], 'int32');
}

const bytesOf = (...tensors: readonly tf.Tensor[]): number =>
  tensors.reduce((sum, { size }) => sum + 4 * size, 0);

/**
 * The phases of an op with a gradient. `flops` is of its forward pass; backward takes twice as much when all of it are products. Bytes are
 * those of the inputs and the output, read and written once, and of their gradients. The backward pass starts from the sum of the output.
 */
function differentiable(
  given: Tensors,
  flops: number,
  outputSize: number,
  forward: (precision: Precision) => tf.Tensor,
  fixed: Tensors = {},
): ReturnType<OpCase['make']> {
  const bytes = bytesOf(...Object.values(given)) + 4 * outputSize;
  return {
    phases: [
      {
        name: 'forward',
        cost: { flops, bytes },
        run: (precision) => forward(precision).dispose(),
      },
      {
        name: 'forward + backward',
        cost: { flops: 3 * flops, bytes: 3 * bytes },
        run: (precision) => {
          const loss = (): { loss: tf.Tensor } => ({ loss: tf.sum(forward(precision)) });
          const { outputs, grads } = valueAndGrads(loss, given);
          tf.dispose([outputs, grads]);
        },
      },
    ],
    dispose: () => tf.dispose([given, fixed]),
  };
}

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

interface MemoryOp {
  readonly name: string;
  readonly given: (share: number) => Tensors;
  readonly forward: KernelCall;
  /** Reads what `forward` reads and makes, and dy. */
  readonly backward?: KernelCall & { readonly made: readonly string[] };
}

interface KernelCall {
  readonly kernel: string;
  /** Names; `x:logits` where the kernel calls x otherwise. */
  readonly inputs: readonly string[];
  readonly attributes?: tf.NamedAttrMap;
  /** What it reads and writes, in sizes of x. */
  readonly moved: number;
}

/** Kernels of our own backend on more than the caches hold: x of `given` alone has about 64 MiB or more. */
function memoryOp({ name, given, forward, backward }: MemoryOp): OpCase {
  return {
    name: `from memory: ${name}`,
    precisions: float32,
    alone: true,
    make: (share) => {
      const tensors = given(share);
      const call = ({ kernel, inputs, attributes = {} }: KernelCall): tf.Tensor[] => {
        const picked = Object.fromEntries(
          inputs.map((input) => [input.split(':').at(-1)!, tensors[input.split(':')[0]!]!]),
        );
        return [tf.engine().runKernel(kernel, picked, attributes)].flat();
      };
      const phase = (phaseName: Phase['name'], kernel: KernelCall): Phase => ({
        name: phaseName,
        cost: { flops: 0, bytes: kernel.moved * bytesOf(tensors['x']!) },
        run: () => tf.dispose(call(kernel)),
      });
      if (backward === undefined) {
        return { phases: [phase('forward', forward)], dispose: () => tf.dispose(tensors) };
      }
      const outputs = call(forward);
      for (const [i, output] of backward.made.entries()) tensors[output] = outputs[i]!;
      tensors['dy'] = tf.onesLike(outputs[0]!);
      return {
        phases: [phase('forward', forward), phase('backward', backward)],
        dispose: () => tf.dispose(tensors),
      };
    },
  };
}

function linearWeights(out: number, into: number): { weight: tf.Tensor; bias: tf.Tensor } {
  return {
    weight: tf.tidy(() => tf.mul(normal(out, into), into ** -0.5)),
    bias: tf.zeros([out]),
  };
}

const affine = (width: number): { weight: tf.Tensor; bias: tf.Tensor } => ({
  weight: tf.ones([width]),
  bias: tf.zeros([width]),
});

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

const video: Tokens = { batch: 2, tokens: 313, width: 768, heads: 12 };
const masked: Tokens = { batch: 2, tokens: 1255, width: 512, heads: 16 };

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
  selfAttention(video),
  crossAttention(masked, 313),
  windowAttention({ batch: 2, width: 512, heads: 16 }),
  mlp(video),
  mlp(masked),
  gather(2, 1568, 313, 1536),
  scatter(2, 512, 512),
  adamw(768),
  memoryOp({
    name: 'softmax 65536 x 313',
    given: (share) => ({ x: normal(rowsOf(65536, share), 313) }),
    forward: { kernel: 'Softmax', inputs: ['x:logits'], attributes: { dim: 1 }, moved: 2 },
    backward: { kernel: 'DmSoftmaxGrad', inputs: ['dy', 'y'], made: ['y'], moved: 3 },
  }),
  memoryOp({
    name: 'layer norm 32768 x 768',
    given: (share) => ({ x: normal(rowsOf(32768, share), 768), ...affine(768) }),
    forward: {
      kernel: 'DmLayerNorm',
      inputs: ['x', 'weight', 'bias'],
      attributes: { epsilon: 1e-6 },
      moved: 2,
    },
    backward: {
      kernel: 'DmLayerNormGrad',
      inputs: ['dy', 'x', 'weight', 'mean', 'rstd'],
      made: ['y', 'mean', 'rstd'],
      moved: 3,
    },
  }),
  memoryOp({
    name: 'gelu 8192 x 3072',
    given: (share) => ({ x: normal(rowsOf(8192, share), 3072) }),
    forward: { kernel: 'DmGelu', inputs: ['x'], moved: 2 },
    backward: { kernel: 'DmGeluGrad', inputs: ['dy', 'x'], made: ['y'], moved: 3 },
  }),
  memoryOp({
    name: 'masked patch loss 8 x 1255 of 1568 x 1536',
    given: (share) => ({
      x: normal(8, rowsOf(1255, share), 1536),
      patches: normal(8, rowsOf(1568, share), 1536),
      indices: indices(8, rowsOf(1255, share), rowsOf(1568, share)),
    }),
    forward: {
      kernel: 'DmMaskedPatchLoss',
      inputs: ['x:prediction', 'patches', 'indices'],
      attributes: { normalizeTargets: false },
      moved: 3,
    },
    backward: {
      kernel: 'DmMaskedPatchLossGrad',
      inputs: ['dy', 'difference'],
      made: ['loss', 'difference'],
      moved: 2,
    },
  }),
  memoryOp({
    name: 'add 8192 x 3072',
    given: (share) => ({
      x: normal(rowsOf(8192, share), 3072),
      y: normal(rowsOf(8192, share), 3072),
    }),
    forward: { kernel: 'Add', inputs: ['x:a', 'y:b'], moved: 3 },
  }),
  adamw(1536, true),
];
