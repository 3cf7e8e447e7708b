// SPDX-License-Identifier: Apache-2.0
// One AdamW step of all parameters: packages/core/src/ops/adamw-update.ts. A parameter or moment that nobody else holds is updated in
// its own buffer, which the output then shares.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const parts = ['parameter', 'gradient', 'first', 'second'] as const;
const updated = ['parameter', 'first', 'second'] as const;

function adamwUpdate(call: KernelCall): TensorInfo[] {
  const { attrs, backend, inputs } = call;
  const learningRates = attrs['learningRates'] as number[];
  const weightDecays = attrs['weightDecays'] as number[];
  const count = learningRates.length;
  const numbers = ['beta1', 'beta2', 'epsilon', 'step'].map((name) => attrs[name] as number);
  numbers.unshift(count);
  const given: TensorInfo[] = [];
  for (let i = 0; i < count; i++) {
    for (const part of parts) given.push(floatInput(call, `${part}${i}`));
    numbers.push(sizeOf(given[4 * i]!), learningRates[i]!, weightDecays[i]!);
  }
  given.push(floatInput(call, 'gradientScale'));
  const uses = new Map<object, number>();
  for (const { dataId } of given) uses.set(dataId, (uses.get(dataId) ?? 0) + 1);
  const mayReuse = (x: TensorInfo): boolean =>
    uses.get(x.dataId) === 1 && backend.refCount(x.dataId) === 1 && backend.smallValues(x) === null;

  const outputs: TensorInfo[][] = updated.map(() => []);
  const made: TensorInfo[] = [];
  try {
    for (let i = 0; i < count; i++) {
      for (const [part, name] of updated.entries()) {
        const x = inputs[`${name}${i}`]!;
        const reused = mayReuse(x);
        const output = reused ? shared(x) : backend.allocate(x.shape, 'float32');
        if (!reused) made.push(output);
        outputs[part]!.push(output);
      }
    }
    const results = Array.from({ length: count }, (_, i) => outputs.map((part) => part[i]!)).flat();
    const buffers = [...given, ...results].map((x) => backend.buffer(x));
    backend.binding.run('DmAdamwUpdate', buffers, numbers);
  } catch (error) {
    for (const { dataId } of made) backend.disposeData(dataId);
    throw error;
  }
  const all = outputs.flat();
  // The op disposes the tensors it was given; the outputs stay.
  for (const output of all) if (!made.includes(output)) backend.incRef(output.dataId);
  return all;
}

/** What `backend.alias` returns, but not counted yet. */
function shared({ dataId, shape, dtype }: TensorInfo): TensorInfo {
  return { dataId, shape, dtype };
}

export const adamwUpdateKernels: readonly NativeKernel[] = [
  { name: 'DmAdamwUpdate', run: adamwUpdate },
];
