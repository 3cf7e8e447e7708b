// SPDX-License-Identifier: Apache-2.0
// Numbers at equal distances. Element i is start + i * step, where tfjs adds up steps and their rounding.
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { KernelCall, NativeKernel } from './kernel.ts';

function range({ attrs, backend }: KernelCall): TensorInfo | null {
  const [start, stop, step] = ['start', 'stop', 'step'].map((name) => attrs[name] as number) as [
    number,
    number,
    number,
  ];
  const dtype = attrs['dtype'] as DataType;
  // tfjs drops the fraction of an int32 after each step.
  const whole = [start, step].every((value) => Number.isInteger(value));
  if (!(dtype === 'float32' || (dtype === 'int32' && whole))) return null;
  // The rules of tfjs: a step of 1 turns around where it would lead away from stop, other steps give nothing there.
  const away = (start < stop && step < 0) || (stop < start && step > 1);
  const count = start === stop || away ? 0 : Math.abs(Math.ceil((stop - start) / step));
  const taken = stop < start && step === 1 ? -1 : step;
  const numbers = [dtype === 'int32' ? 1 : 0, count, start, taken];
  return backend.execute('Range', [], { shape: [count], dtype }, numbers);
}

function linSpace({ attrs, backend }: KernelCall): TensorInfo {
  const [start, stop, count] = ['start', 'stop', 'num'].map((name) => attrs[name] as number) as [
    number,
    number,
    number,
  ];
  const step = count > 1 ? (stop - start) / (count - 1) : 0;
  const output = { shape: [count], dtype: 'float32' } as const;
  return backend.execute('Range', [], output, [0, count, start, step]);
}

export const rangeKernels: readonly NativeKernel[] = [
  { name: 'LinSpace', run: linSpace },
  { name: 'Range', run: range },
];
