// SPDX-License-Identifier: Apache-2.0
// Fewer reverse steps than training timesteps: which timesteps to visit, and the pairs of alphaBar along the way.
import { alphaBarAt } from './diffusion.ts';
import { checkInteger, unexpected } from './errors.ts';

/**
 * How the visited timesteps lie in 1..T [arXiv 2305.08891 Table 2]: 'trailing' holds T, 'leading' holds 1,
 * 'linspace' both. Only the first and last start from the pure noise that training saw at T.
 */
export type Spacing = 'trailing' | 'leading' | 'linspace';

/** One hop of a reverse path; feed both alphaBars to `ddpmStep` or `ddimStep`, `timestep` to the network. */
export interface PathStep {
  readonly timestep: number;
  /** The timestep reached, 0 for the clean value. */
  readonly previousTimestep: number;
  readonly alphaBar: number;
  readonly alphaBarPrevious: number;
}

/**
 * The timesteps to visit, largest first, strictly decreasing, each in 1..timesteps. Halves round up
 * (Choice: exact integers, where the reference rounds binary fractions half to even).
 *
 * @param timesteps T of the training schedule, a whole number >= 1
 * @param steps how many to visit, a whole number in [1, timesteps]; all of them when equal
 * @throws ScheduleError when an argument is outside its range
 */
export function respacedTimesteps(
  timesteps: number,
  steps: number,
  spacing: Spacing = 'trailing',
): Int32Array {
  checkInteger('respacedTimesteps', 'timesteps', timesteps, '[1, 2147483647]');
  checkInteger('respacedTimesteps', 'steps', steps, `[1, ${timesteps}]`);
  const nth = nthTimestep(timesteps, steps, spacing);
  return Int32Array.from({ length: steps }, (_, i) => nth(steps - 1 - i));
}

/**
 * The hops of a reverse path over `timesteps`, ending at the clean value.
 *
 * @param table alphaBar by timestep, made by `alphaBars`
 * @param timesteps strictly decreasing, each in 1..T, as made by `respacedTimesteps`
 * @throws ScheduleError when the timesteps do not decrease or lie outside the table
 */
export function reversePath(
  table: ArrayLike<number>,
  timesteps: ArrayLike<number>,
): readonly PathStep[] {
  return Array.from(timesteps, (timestep, i) => {
    const previousTimestep = timesteps[i + 1] ?? 0;
    checkInteger('reversePath', `timesteps[${i}]`, timestep, `[1, ${table.length}]`);
    if (previousTimestep >= timestep) {
      throw unexpected('reversePath', `timesteps[${i + 1}] below ${timestep}`, previousTimestep);
    }
    return {
      timestep,
      previousTimestep,
      alphaBar: alphaBarAt(table, timestep),
      alphaBarPrevious: alphaBarAt(table, previousTimestep),
    };
  });
}

/** The i-th smallest visited timestep, i = 0..steps - 1. Numerators are whole, so a half is exact. */
function nthTimestep(timesteps: number, steps: number, spacing: Spacing): (i: number) => number {
  switch (spacing) {
    case 'trailing':
      return (i) => Math.round((timesteps * (i + 1)) / steps);
    case 'leading':
      return (i) => 1 + i * Math.floor(timesteps / steps);
    case 'linspace':
      if (steps === 1) return () => timesteps;
      return (i) => 1 + Math.round(((timesteps - 1) * i) / (steps - 1));
    default:
      spacing satisfies never;
      throw unexpected('respacedTimesteps', `spacing 'trailing', 'leading' or 'linspace'`, spacing);
  }
}
