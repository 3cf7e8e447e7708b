// SPDX-License-Identifier: Apache-2.0
// Einsum of one or two operands. What only one operand has and the result lacks is summed first; what both have and the result lacks is
// the inner length of a matrix product, batched over what all three have. float32, and int32 as product and sum; other dtypes, and a
// result that names an index twice, are left to tfjs.
//
// Where an index of one operand alone is summed ('i,j->j', 'abc,cd->ad'), tfjs's own kernel loses an operand or an axis, or throws; this one
// follows the definition.
import { backend_util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { composed } from './compose.ts';
import type { Run } from './compose.ts';
import { sizeOf } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

/** A tensor and the letter of each of its axes. */
interface Operand {
  readonly x: TensorInfo;
  readonly labels: readonly string[];
}

type Labels = readonly string[];

const without = (labels: Labels, others: Labels): Labels =>
  labels.filter((label) => !others.includes(label));

const within = (labels: Labels, others: Labels): Labels =>
  labels.filter((label) => others.includes(label));

function einsum(call: KernelCall): TensorInfo | null {
  const tensors = Object.values(call.inputs);
  const equation = (call.attrs['equation'] as string).replaceAll(/\s/g, '');
  // For its errors, which specs of tfjs look for.
  const { allDims, idDims } = backend_util.decodeEinsumEquation(equation, tensors.length);
  backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as never);
  const [terms = '', result = ''] = equation.split('->');
  const output = result.split('');
  const dtype = tensors[0]?.dtype;
  const native = dtype === 'float32' || dtype === 'int32';
  if (!native || tensors.some((x) => x.dtype !== dtype)) return null;
  if (new Set(output).size < output.length) return null;
  return composed(call.backend, (run) => {
    const [a, b] = terms.split(',').map((term, i) => ({ x: tensors[i]!, labels: term.split('') }));
    const first = summed(run, a!, [...output, ...(b?.labels ?? [])]);
    if (b === undefined) return arranged(run, first, output);
    const second = summed(run, b, [...output, ...a!.labels]);
    return arranged(run, product(run, first, second, output), output);
  });
}

/** The operand summed over the axes that are not among these. */
function summed(run: Run, { x, labels }: Operand, kept: Labels): Operand {
  const axis = labels.flatMap((label, i) => (kept.includes(label) ? [] : [i]));
  if (axis.length === 0) return { x, labels };
  return { x: run('Sum', { x }, { axis, keepDims: false }), labels: within(labels, kept) };
}

/** The operand with its axes in this order, and then under this shape. */
function arranged(run: Run, { x, labels }: Operand, order: Labels, shape?: number[]): TensorInfo {
  const perm = order.map((label) => labels.indexOf(label));
  const turned = run('Transpose', { x }, { perm });
  return shape === undefined ? turned : run('Reshape', { x: turned }, { shape });
}

/** The product summed over what both operands have and the output lacks. */
function product(run: Run, a: Operand, b: Operand, output: Labels): Operand {
  const rows = without(within(output, a.labels), b.labels);
  const columns = without(within(output, b.labels), a.labels);
  const swap = rows.length > 0 && columns.length > 0;
  // The rest follows the order of the output, so that it need not be transposed.
  if (swap && output.indexOf(columns[0]!) < output.indexOf(rows[0]!)) {
    return product(run, b, a, output);
  }
  const batch = within(within(output, a.labels), b.labels);
  const inner = without(within(a.labels, b.labels), output);
  const lengths = new Map(
    [a, b].flatMap(({ x, labels }) => labels.map((l, i) => [l, x.shape[i]!])),
  );
  const lengthsOf = (labels: Labels): number[] => labels.map((label) => lengths.get(label)!);
  const [count, m, k, n] = [batch, rows, inner, columns].map((labels) =>
    sizeOf({ shape: lengthsOf(labels) }),
  ) as [number, number, number, number];
  const labels = [...batch, ...rows, ...columns];
  const shaped = (x: TensorInfo): Operand => ({
    x: run('Reshape', { x }, { shape: lengthsOf(labels) }),
    labels,
  });
  if (inner.length === 0 || (m === 1 && n === 1) || a.x.dtype !== 'float32') {
    const left = arranged(run, a, [...batch, ...rows, ...inner], [count, m, k, 1]);
    const right = arranged(run, b, [...batch, ...inner, ...columns], [count, 1, k, n]);
    const y = run('Multiply', { a: left, b: right });
    return shaped(inner.length === 0 ? y : run('Sum', { x: y }, { axis: [2], keepDims: false }));
  }
  const is = (x: Operand, order: Labels): boolean => String(x.labels) === String(order);
  const transposeA = is(a, [...batch, ...inner, ...rows]);
  const transposeB = is(b, [...batch, ...columns, ...inner]);
  const left = transposeA
    ? arranged(run, a, a.labels, [count, k, m])
    : arranged(run, a, [...batch, ...rows, ...inner], [count, m, k]);
  const right = transposeB
    ? arranged(run, b, b.labels, [count, n, k])
    : arranged(run, b, [...batch, ...inner, ...columns], [count, k, n]);
  return shaped(run('BatchMatMul', { a: left, b: right }, { transposeA, transposeB }));
}

export const einsumKernels: readonly NativeKernel[] = [{ name: 'Einsum', run: einsum }];
