// SPDX-License-Identifier: Apache-2.0
// Where the time of a program goes, by kernel: the engine's runKernel and the addon's run are timed for a while. A kernel that is composed of
// others counts as one, with what it calls. Costs a few microseconds a call, so a profiled step is not a measured one.
import { NativeBackend } from '@diffmavil/native';
import * as tf from '@tensorflow/tfjs-core';

/** Sums over the calls of one kernel. */
export interface KernelTime {
  readonly kernel: string;
  readonly calls: number;
  readonly ms: number;
  /** Of that, in the addon. */
  readonly nativeMs: number;
  /** Of its matrix products. */
  readonly flops: number;
}

type Shaped = { readonly shape: readonly number[] };
type Inputs = Readonly<Record<string, Shaped | undefined>>;
type Attributes = Readonly<Record<string, unknown>>;
type RunKernel = (kernel: string, inputs: Inputs, attributes?: Attributes) => unknown;

/** Starts timing; the function returned ends it and returns the kernels, longest first. */
export function startKernelProfile(): () => KernelTime[] {
  const engine = tf.engine() as unknown as { runKernel: RunKernel };
  const times = new Map<string, { calls: number; ms: number; nativeMs: number; flops: number }>();
  let [depth, nativeMs] = [0, 0];

  const original = engine.runKernel.bind(engine);
  engine.runKernel = (kernel, inputs, attributes) => {
    if (depth > 0) return original(kernel, inputs, attributes);
    const nativeBefore = nativeMs;
    const flops = kernelFlops(kernel, inputs, attributes ?? {});
    depth++;
    const start = performance.now();
    try {
      return original(kernel, inputs, attributes);
    } finally {
      const ms = performance.now() - start;
      depth--;
      const sum = times.get(kernel) ?? { calls: 0, ms: 0, nativeMs: 0, flops: 0 };
      sum.calls++;
      sum.ms += ms;
      sum.nativeMs += nativeMs - nativeBefore;
      sum.flops += flops;
      times.set(kernel, sum);
    }
  };
  const unwrapNative = timeNative((ms) => {
    nativeMs += ms;
  });
  return () => {
    // The method of the class shows again.
    delete (engine as Partial<typeof engine>).runKernel;
    unwrapNative();
    return [...times].map(([kernel, sums]) => ({ kernel, ...sums })).sort((a, b) => b.ms - a.ms);
  };
}

/** Reports the duration of every call into the addon, if the active backend is native. */
function timeNative(report: (ms: number) => void): () => void {
  const backend = tf.backend();
  if (!(backend instanceof NativeBackend)) return () => {};
  const { binding } = backend;
  const run = binding.run.bind(binding);
  binding.run = (op, buffers, numbers) => {
    const start = performance.now();
    try {
      run(op, buffers, numbers);
    } finally {
      report(performance.now() - start);
    }
  };
  return () => {
    delete (binding as Partial<typeof binding>).run;
  };
}

/** Of the matrix products of one call; 0 for kernels without. A backward kernel's recomputations do not count. */
export function kernelFlops(kernel: string, inputs: Inputs, attributes: Attributes): number {
  const shape = (name: string): readonly number[] => inputs[name]?.shape ?? [];
  const size = (name: string): number => shape(name).reduce((product, n) => product * n, 1);
  switch (kernel) {
    case 'BatchMatMul':
    case '_FusedMatMul': {
      const n = shape('b').at(attributes['transposeB'] === true ? -2 : -1) ?? 0;
      return 2 * size('a') * n;
    }
    case 'DmLinear':
      return 2 * size('x') * (shape('weight')[0] ?? 0);
    case 'DmLinearGrad': {
      const products = attributes['inputGradient'] === false ? 1 : 2;
      return products * 2 * size('x') * (shape('weight')[0] ?? 0);
    }
    case 'DmDiffusedLinear':
    case 'DmDiffusedLinearGrad':
      return 2 * size('indices') * size('weight');
    case 'DmMlpBranch':
    case 'DmMlpBranchGrad':
      return timesForGrad(kernel, 4 * size('x') * (shape('fc1Weight')[0] ?? 0));
    case 'DmAttentionBranch':
    case 'DmAttentionBranchGrad':
      return timesForGrad(kernel, attentionFlops(shape, attributes));
    case 'DmInfoNce':
    case 'DmInfoNceGrad':
      return timesForGrad(kernel, 2 * size('queries') * (shape('keys')[0] ?? 0));
    default:
      return 0;
  }
}

function attentionFlops(
  shape: (name: string) => readonly number[],
  { kind, size }: Attributes,
): number {
  const [batch = 0, tokens = 0, width = 0] = shape('x');
  const [, contextTokens = 0] = shape('context');
  const [a = 0, b = 0] = (size ?? []) as readonly number[];
  const keys = kind === 'cross' ? contextTokens : kind === 'window' ? a * b : tokens;
  const projected = kind === 'cross' ? 2 * tokens + 2 * keys : 4 * tokens;
  return 2 * batch * width * (projected * width + 2 * tokens * keys);
}

const timesForGrad = (kernel: string, flops: number): number =>
  kernel.endsWith('Grad') ? 2 * flops : flops;
