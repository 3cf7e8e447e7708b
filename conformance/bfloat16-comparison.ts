// SPDX-License-Identifier: Apache-2.0
// How far a training step with bfloat16 products is from PyTorch in float32: every loss within 1e-2, all gradients together within 3e-2 of their
// norm; or twice what rounding costs PyTorch where a tiny model makes more of it (golden/family_bfloat16.py).
import { readJsonFixture } from '@diffmavil/testkit';
import { type TracedTensor, traceStep } from '@diffmavil/trainer';
import { type Row, type TraceCase, relativeError } from './trace-comparison.ts';

/** What rounding costs PyTorch, by case. */
const rounding = readJsonFixture('family/bfloat16.json') as Readonly<
  Record<string, { readonly loss: number; readonly gradients: number }>
>;

/** One row for each loss, and one for the gradients together, on the active backend. */
export async function runBfloat16Case(given: TraceCase): Promise<Row[]> {
  const { name, config, maskRatio, tensors, expected } = given;
  const results = await traceStep({ config, tensors, maskRatio, precision: 'bfloat16' });
  const cost = rounding[name] ?? { loss: 0, gradients: 0 };
  const losses = expected.names.filter((each) => each === 'loss' || each.startsWith('loss.'));
  const gradients = expected.names.filter((each) => each.startsWith('grad.'));
  const wanted = joined(gradients.map((each) => expected.get(each).data));
  const actual = joined(gradients.map((each) => results[each]?.data ?? []));
  return [
    ...losses.map((loss) => ({
      name: loss,
      error: relativeError(results[loss], expected.get(loss)),
      bound: Math.max(1e-2, 2 * cost.loss),
    })),
    {
      name: 'gradients',
      error: relativeError(actual, wanted),
      bound: Math.max(3e-2, 2 * cost.gradients),
    },
  ];
}

/** All values one after another. */
function joined(parts: readonly ArrayLike<number>[]): TracedTensor {
  const data = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { dtype: 'F32', shape: [data.length], data };
}
