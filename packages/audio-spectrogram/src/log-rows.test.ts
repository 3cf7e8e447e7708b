// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { createLogRows } from './log-rows.ts';

it('equals Math.log, rounded to float32, from 2^-23 to 1e60', () => {
  const values = Float64Array.from({ length: 20_000 }, (_, i) => 1.2e-7 * 1.0078 ** i);
  const { energies, write } = createLogRows(values.length, 2 ** -23, -15);
  energies.set(values);
  const out = new Float32Array(values.length);
  write(out, 0);
  let worst = 0;
  for (const [i, value] of values.entries()) {
    // Half a unit in the last place of float32 plus the stated 1e-12.
    const limit = Math.max(Math.abs(Math.log(value)) * 2 ** -24, 2 ** -40);
    worst = Math.max(worst, Math.abs(out[i]! - Math.log(value)) / limit);
  }
  expect(worst).toBeLessThanOrEqual(1.01);
});

it('replaces the floor, what is below it and NaN by the given value, and leaves the rest of out alone', () => {
  const { energies, write } = createLogRows(4, 2 ** -23, -7);
  energies.set([2 ** -23, 0, Number.NaN, 1]);
  const out = new Float32Array(6).fill(5);
  write(out, 1);
  expect([...out]).toEqual([5, -7, -7, -7, Math.fround(-0), 5].map((v) => (v === 0 ? out[4] : v)));
  expect(Math.abs(out[4]!)).toBeLessThan(1e-12);
});
