// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ScheduleError } from './errors.ts';
import { respacedTimesteps, reversePath, type Spacing } from './respacing.ts';

const fixture = '../../../conformance/golden/fixtures/schedulers/respacing.json';
const golden = JSON.parse(readFileSync(new URL(fixture, import.meta.url), 'utf8')) as {
  cases: { timesteps: number; steps: number; spacing: Spacing; expected: number[] }[];
};

describe('respaced timesteps', () => {
  it.each(golden.cases)(
    '$steps of $timesteps, $spacing, are the golden ones',
    ({ timesteps, steps, spacing, expected }) => {
      expect([...respacedTimesteps(timesteps, steps, spacing)]).toEqual(expected);
    },
  );

  it.each<Spacing>(['trailing', 'leading', 'linspace'])(
    'spaced %s decrease strictly within 1..T, for every count',
    (spacing) => {
      for (let steps = 1; steps <= 37; steps++) {
        const visited = [37.5, ...respacedTimesteps(37, steps, spacing), 0.5];
        expect(visited.every((t, i) => i === 0 || t < visited[i - 1]!)).toBe(true);
      }
    },
  );

  it('are trailing unless told otherwise', () => {
    expect([...respacedTimesteps(1000, 4)]).toEqual([1000, 750, 500, 250]);
  });
});

describe('a reverse path', () => {
  it('pairs every timestep with the next and ends at the clean value', () => {
    const table = [0.9, 0.7, 0.4, 0.1];
    expect(reversePath(table, [4, 2])).toEqual([
      { timestep: 4, previousTimestep: 2, alphaBar: 0.1, alphaBarPrevious: 0.7 },
      { timestep: 2, previousTimestep: 0, alphaBar: 0.7, alphaBarPrevious: 1 },
    ]);
  });
});

describe('bad arguments', () => {
  const faults: [() => unknown, string][] = [
    [
      () => respacedTimesteps(10, 11),
      'respacedTimesteps: expected steps to be a whole number in [1, 10], got 11',
    ],
    [
      () => respacedTimesteps(0, 1),
      'respacedTimesteps: expected timesteps to be a whole number in [1, 2147483647], got 0',
    ],
    [
      () => respacedTimesteps(10, 2, 'karras' as Spacing),
      `respacedTimesteps: expected spacing 'trailing', 'leading' or 'linspace', got "karras"`,
    ],
    [
      () => reversePath([0.9, 0.5], [3, 1]),
      'reversePath: expected timesteps[0] to be a whole number in [1, 2], got 3',
    ],
    [() => reversePath([0.9, 0.5], [1, 2]), 'reversePath: expected timesteps[1] below 1, got 2'],
    [
      () => reversePath([0.9, 0.5], [2, 0]),
      'reversePath: expected timesteps[1] to be a whole number in [1, 2], got 0',
    ],
  ];

  it.each(faults)('%o is refused with "%s"', (call, message) => {
    expect(call).toThrow(new ScheduleError(message));
  });
});
