// SPDX-License-Identifier: Apache-2.0
// One AdamW step of all parameters: packages/core/src/ops/adamw-update.ts. A parameter or moment that nobody else holds is updated in
// its own buffer, which the output then shares. Where that holds of all of them, as in training, there are no outputs: making and
// disposing three tensors a parameter would cost more than everything else here.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { floatInput } from './checks.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** Of the inputs of a parameter: its gradient is only read. */
const inputsEach = 4;
const updated = [0, 2, 3] as const;

function adamwUpdate(call: KernelCall): TensorInfo[] {
  const { attrs, backend } = call;
  const rateScales = attrs['rateScales'] as number[];
  const weightDecays = attrs['weightDecays'] as number[];
  const count = rateScales.length;
  const numbers = ['beta1', 'beta2', 'epsilon'].map((name) => attrs[name] as number);
  numbers.unshift(count);
  // Numbered, not named: there are thousands.
  const given: TensorInfo[] = [];
  for (let place = 0; place < inputsEach * count + 2; place++) {
    given.push(floatInput(call, String(place)));
  }
  for (let i = 0; i < count; i++) {
    numbers.push(sizeOf(given[inputsEach * i]!), rateScales[i]!, weightDecays[i]!);
  }
  const uses = new Map<object, number>();
  for (const { dataId } of given) uses.set(dataId, (uses.get(dataId) ?? 0) + 1);
  const mayReuse = (x: TensorInfo): boolean =>
    uses.get(x.dataId) === 1 && backend.refCount(x.dataId) === 1 && backend.smallValues(x) === null;

  const old = Array.from({ length: count }, (_, i) =>
    updated.map((place) => given[inputsEach * i + place]!),
  );
  if (old.every((three) => three.every(mayReuse))) {
    const buffers = [...given, ...old.flat()].map((x) => backend.buffer(x));
    backend.binding.run('DmAdamwUpdate', buffers, numbers);
    return [];
  }

  const outputs: TensorInfo[][] = updated.map(() => []);
  const made: TensorInfo[] = [];
  try {
    for (const three of old) {
      for (const [part, x] of three.entries()) {
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
