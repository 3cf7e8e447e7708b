// SPDX-License-Identifier: Apache-2.0
// What every table of ops has to stand: the processor's, and a device's.
import { array, assert, constantFrom, double, integer, oneof, property, string } from 'fast-check';
import { expect } from 'vitest';
import type { OpTable } from './binding.ts';

/** Calls these methods with values of all kinds; each answers with a value or an Error with a code. */
export function expectAnswers(table: OpTable, methods: readonly string[]): void {
  const buffers = [8, 64, 4096].map((bytes) => table.allocate(bytes));
  const freed = table.allocate(64);
  table.free(freed);
  const value = oneof(
    constantFrom<unknown>(...buffers, freed, null, undefined, buffers, new Float64Array(3)),
    constantFrom<unknown>(new Uint8Array(64), new DataView(new ArrayBuffer(8)), Symbol('x')),
    double(),
    integer({ min: -2, max: 40 }),
    string(),
    array(constantFrom<unknown>(...buffers, freed, 1), { maxLength: 4 }),
  );
  assert(
    property(constantFrom(...methods), array(value, { maxLength: 5 }), (method, values) => {
      const loose = table as unknown as Record<string, (...values: unknown[]) => unknown>;
      expect(outcomeOf(() => loose[method]?.(...values))).toMatch(/^DM_/);
    }),
    { numRuns: 2000, seed: 20_231 },
  );
  for (const buffer of buffers) table.free(buffer);
}

/** Runs ops on numbers that have nothing to do with the buffers: no op may trust them. */
export function expectChecks(table: OpTable): void {
  const sizes = [0, 4, 64, 64, 4096];
  const buffers = sizes.map((bytes) => table.allocate(bytes));
  // What is read of the first two is undefined.
  for (const [i, buffer] of buffers.entries()) {
    if (i >= 2) table.write(buffer, new Uint8Array(sizes[i]!));
  }
  const numbers = array(
    oneof(integer({ min: -1, max: 20 }), double(), constantFrom(2 ** 31, 2 ** 53)),
    { maxLength: 16 },
  );
  const chosen = array(constantFrom(...buffers), { maxLength: 4 });
  assert(
    property(integer({ min: 0, max: 300 }), chosen, numbers, (id, list, values) => {
      expect(outcomeOf(() => table.run(id, list, Float64Array.from(values)))).toMatch(/^DM_/);
    }),
    { numRuns: 5000, seed: 20_232 },
  );
  for (const buffer of buffers) table.free(buffer);
}

/** The code of the error, or DM_OK. */
function outcomeOf(thunk: () => unknown): string {
  try {
    thunk();
    return 'DM_OK';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
