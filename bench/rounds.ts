// SPDX-License-Identifier: Apache-2.0
// Interleaved timing: every candidate once per round, A B C A B C …, so that what disturbs the machine for a while disturbs all of them.
// Figures are medians; a ratio is the median of the ratios within a round.

/** Something to be timed. */
export interface Candidate {
  readonly name: string;
  /** Done outside the timed part, before each turn: chooses the backend, say. */
  readonly prepare?: () => void | Promise<void>;
  readonly run: () => unknown;
}

export interface Sampling {
  /** Turns of each candidate, 1 or more. */
  readonly rounds: number;
  /** A turn repeats a run until it lasts about this long. */
  readonly minTurnMs: number;
  /** A candidate that has used up this much time sits out the rounds left, after `minRounds` turns. */
  readonly budgetMs: number;
  readonly minRounds: number;
}

/** Times of one candidate. */
export interface Timing {
  readonly name: string;
  /** One run, by round; shorter than `rounds` for a candidate that ran out of its budget. */
  readonly samplesMs: readonly number[];
  /** Runs in each turn. */
  readonly repeats: number;
}

/** Warms every candidate up with two runs, then times them in turns. */
export async function timeInRounds(
  candidates: readonly Candidate[],
  sampling: Sampling,
): Promise<Timing[]> {
  const timings: { name: string; samplesMs: number[]; repeats: number; spentMs: number }[] = [];
  for (const candidate of candidates) {
    await turn(candidate, 1);
    const onceMs = await turn(candidate, 1);
    const repeats = Math.max(1, Math.ceil(sampling.minTurnMs / Math.max(onceMs, 1e-3)));
    timings.push({ name: candidate.name, samplesMs: [], repeats, spentMs: 0 });
  }
  for (let round = 0; round < sampling.rounds; round++) {
    for (const [i, candidate] of candidates.entries()) {
      const timing = timings[i]!;
      if (timing.spentMs > sampling.budgetMs && round >= sampling.minRounds) continue;
      const ms = await turn(candidate, timing.repeats);
      timing.samplesMs.push(ms);
      timing.spentMs += ms * timing.repeats;
    }
  }
  return timings.map(({ name, samplesMs, repeats }) => ({ name, samplesMs, repeats }));
}

/** Milliseconds of one run, over `repeats` runs. */
async function turn({ prepare, run }: Candidate, repeats: number): Promise<number> {
  await prepare?.();
  const start = performance.now();
  for (let i = 0; i < repeats; i++) await run();
  return (performance.now() - start) / repeats;
}

/** The q-quantile of values, 0 <= q <= 1, linear between neighbours; NaN for none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] ?? NaN;
  const high = sorted[Math.ceil(place)] ?? NaN;
  return low + (high - low) * (place - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** How many times as long `other` takes as `base`: median over the rounds that both took part in. */
export function pairedRatio(base: readonly number[], other: readonly number[]): number {
  const both = Math.min(base.length, other.length);
  return median(Array.from({ length: both }, (_, round) => other[round]! / base[round]!));
}
