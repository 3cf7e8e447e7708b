// SPDX-License-Identifier: Apache-2.0
// Parity with PyTorch: one training step of each case, every loss, prediction and gradient (golden/README.md lists the cases).
import type { SafeTensor } from '@diffmavil/model';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TracedTensor } from '@diffmavil/trainer';
import { expectInTable } from './parity-table.ts';
import {
  caseNames,
  failures,
  readCase,
  relativeError,
  report,
  runCase,
  table,
} from './trace-comparison.ts';

describe.each(devices)('one training step on $name', (device) => {
  beforeAll(device.use);

  it.each(caseNames)('agrees with PyTorch: %s', async (name) => {
    const rows = await expectNoLeak(() => runCase(readCase(name)));
    if (process.env['DIFFMAVIL_TRACE_TABLE'] !== undefined) console.log(`${name}\n${table(rows)}`);
    expect(report(rows)).toBe('');
    expectInTable(name, device.name, rows);
  });
});

describe('the comparison itself', () => {
  beforeAll(devices[1]!.use);
  const unchanged = readCase(caseNames[0] ?? '');
  const weights = unchanged.expected.names.flatMap((name) =>
    name.startsWith('grad.') ? name.slice('grad.'.length) : [],
  );

  it.each(weights)('fails when %s is scaled by 1.001', async (weight) => {
    const { data, ...rest } = unchanged.tensors[weight] as SafeTensor & { dtype: 'F32' };
    const changed = { ...rest, data: data.map((x) => x * 1.001) };
    const tensors = { ...unchanged.tensors, [weight]: changed };
    expect(failures(await runCase({ ...unchanged, tensors }))).not.toEqual([]);
  });

  it('fails when a result is not a number, of another shape, missing, or one too many', async () => {
    const tensor = { shape: [2], data: Float32Array.from([3, 4]) };
    const errorOf = (actual: Omit<TracedTensor, 'dtype'> | undefined): number =>
      relativeError(actual && { dtype: 'F32', ...actual }, tensor);
    expect(errorOf({ shape: [2], data: Float32Array.from([3, 4.5]) })).toBe(0.1);
    const bad = [
      errorOf({ shape: [2], data: Float32Array.from([3, Number.NaN]) }),
      errorOf({ ...tensor, shape: [2, 1] }),
      errorOf(undefined),
    ];
    expect(failures(bad.map((error) => ({ name: 'loss', error, bound: 1 })))).toHaveLength(3);
    const { expected } = unchanged;
    const fewer = { ...expected, names: expected.names.filter((name) => name !== 'loss') };
    const rows = failures(await runCase({ ...unchanged, expected: fewer }));
    expect(rows.map(({ name }) => name)).toEqual(['loss']);
  });
});
