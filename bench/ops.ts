// SPDX-License-Identifier: Apache-2.0
// The table of ops: diffmavil-cpu in float32 and, where an op knows it, bfloat16, against tfjs-backend-wasm and tfjs-backend-cpu, in
// interleaved rounds, and against what the machine can do. A backend that is slow gets a smaller share of an op's rows, so that one run
// stays below `capMs`; its ratio is then per unit of work, and the share is shown.
import type { Precision } from '@diffmavil/core';
import { useBackend } from './backends.ts';
import { floorMs, measureTriad, peakOf } from './ceilings.ts';
import type { Ceilings, Cost } from './ceilings.ts';
import type { OpCase, Phase } from './op-case.ts';
import { opCases } from './op-cases.ts';
import { figure, markdownTable, percent } from './report.ts';
import { median, quantile, timeInRounds } from './rounds.ts';
import type { Sampling } from './rounds.ts';

export interface OpsOptions {
  readonly backends: readonly string[];
  readonly threads: number;
  readonly sampling: Sampling;
  /** Longest single run. */
  readonly capMs: number;
  /** Of the rows of every op, 0..1: below 1 for a trial of the harness only. */
  readonly share: number;
  /** Part of the names of the ops to run; '' for all. */
  readonly only: string;
  readonly ceilings: Ceilings | null;
  readonly log: (line: string) => void;
}

/** One op, phase and backend. */
export interface OpResult {
  readonly op: string;
  readonly phase: Phase['name'];
  readonly backend: string;
  readonly precision: Precision;
  /** Of the rows the name says. */
  readonly share: number;
  readonly cost: Cost;
  readonly samplesMs: readonly number[];
  readonly medianMs: number;
  readonly quartilesMs: readonly [number, number];
  /** Time per unit of work over that of the first backend in float32, median over rounds; 1 for that itself. */
  readonly ratio: number;
  /** No program on this machine takes less; null without ceilings. */
  readonly floorMs: number | null;
  /** Bandwidth of memory, the mean of before and after; null unless the op is measured against it. */
  readonly triadGBPerS: number | null;
}

/** A backend's turn at one op and phase. */
interface Contender {
  readonly backend: string;
  readonly precision: Precision;
  readonly share: number;
  readonly phases: readonly Phase[];
  readonly dispose: () => void;
}

/** Runs the table. Backends that cannot run an op are left out of its rows, and the reason is logged. */
export async function benchOps(options: OpsOptions): Promise<OpResult[]> {
  const results: OpResult[] = [];
  for (const op of opCases.filter(({ name }) => name.includes(options.only))) {
    const contenders: Contender[] = [];
    for (const backend of op.alone ? options.backends.slice(0, 1) : options.backends) {
      for (const precision of op.precisions) {
        const contender = await enter(op, backend, precision, options);
        if (contender !== null) contenders.push(contender);
      }
    }
    const triad = (): number | null =>
      op.alone === true && options.ceilings !== null ? measureTriad(options.threads) : null;
    for (const [i] of (contenders[0]?.phases ?? []).entries()) {
      const before = triad();
      const phase = await timePhase(op, contenders, i, options);
      const after = triad();
      const triadGBPerS = before === null || after === null ? null : (before + after) / 2;
      results.push(...phase.map((result) => ({ ...result, triadGBPerS })));
    }
    for (const contender of contenders) {
      await useBackend(contender.backend, options.threads);
      contender.dispose();
    }
    options.log(op.name);
  }
  return results;
}

/** Finds the share of the rows that a backend can do within the cap, from one run of a small share. */
async function enter(
  op: OpCase,
  backend: string,
  precision: Precision,
  { threads, capMs, share: whole, log }: OpsOptions,
): Promise<Contender | null> {
  if (precision === 'bfloat16' && backend !== 'diffmavil-cpu') return null;
  await useBackend(backend, threads);
  const probe = op.make(whole / 16);
  let share = whole;
  try {
    const last = probe.phases.at(-1)!;
    last.run(precision); // compiles, allocates
    const start = performance.now();
    last.run(precision);
    const predictedMs = 16 * (performance.now() - start);
    while (predictedMs * (share / whole) > capMs && share > whole / 16) share /= 2;
  } catch (error) {
    log(`${op.name}: left out ${backend} in ${precision}: ${(error as Error).message}`);
    return null;
  } finally {
    probe.dispose();
  }
  return { backend, precision, share, ...op.make(share) };
}

async function timePhase(
  op: OpCase,
  contenders: readonly Contender[],
  place: number,
  { threads, sampling, ceilings }: OpsOptions,
): Promise<Omit<OpResult, 'triadGBPerS'>[]> {
  const timings = await timeInRounds(
    contenders.map(({ backend, precision, phases }) => ({
      name: `${backend} ${precision}`,
      prepare: () => useBackend(backend, threads),
      run: () => phases[place]!.run(precision),
    })),
    sampling,
  );
  const base = timings[0]!;
  const work = (contender: Contender): number => {
    const { flops, bytes } = contender.phases[place]!.cost;
    return flops > 0 ? flops : bytes;
  };
  return contenders.map((contender, i) => {
    const { samplesMs } = timings[i]!;
    const { name, cost } = contender.phases[place]!;
    const scale = work(contenders[0]!) / work(contender);
    const ratios = samplesMs.map((ms, round) => (ms * scale) / base.samplesMs[round]!);
    return {
      op: op.name,
      phase: name,
      backend: contender.backend,
      precision: contender.precision,
      share: contender.share,
      cost,
      samplesMs,
      medianMs: median(samplesMs),
      quartilesMs: [quantile(samplesMs, 0.25), quantile(samplesMs, 0.75)],
      ratio: median(ratios.filter(Number.isFinite)),
      floorMs: floorMs(cost, ceilings, contender.precision),
    };
  });
}

/** The table as Markdown. */
export function opsTable(results: readonly OpResult[], ceilings: Ceilings | null): string {
  const head = ['op', 'phase', 'backend', 'rows', 'ms', 'quartiles', 'times as long', 'GFLOP/s'];
  const rows = results.map((result) => {
    const { backend, precision, share, medianMs, quartilesMs, ratio, cost, triadGBPerS } = result;
    const rate = cost.flops > 0 ? cost.flops / medianMs / 1e6 : null;
    const peak = peakOf(ceilings, precision);
    return [
      result.op,
      result.phase,
      precision === 'bfloat16' ? `${backend} bfloat16` : backend,
      share === 1 ? 'all' : `1/${Math.round(1 / share)}`,
      figure(medianMs),
      quartilesMs.map((ms) => figure(ms)).join('..'),
      figure(ratio),
      figure(rate),
      percent(rate === null || peak === null ? null : rate / peak),
      figure(result.floorMs),
      figure(result.floorMs === null ? null : medianMs / result.floorMs),
      percent(triadGBPerS === null ? null : cost.bytes / medianMs / 1e6 / triadGBPerS),
    ];
  });
  return markdownTable([...head, 'of peak', 'floor ms', 'x floor', 'of bandwidth'], rows, 4);
}
