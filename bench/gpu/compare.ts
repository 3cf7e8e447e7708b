// SPDX-License-Identifier: Apache-2.0
// A training step beside PyTorch's on the same GPU: same weights, same batch, losses compared before anything is timed. Ours and one peer at a time take
// turns, so that only two models are in the GPU's memory; a turn is as many steps in a row as last long enough, and counts by their mean.
import type { PresetName } from '@diffmavil/model';
import type { Precision } from '@diffmavil/core';
import { cudaBackendName } from '@diffmavil/native';
import { median, pairedRatio } from '../rounds.ts';
import { startSide } from '../sides.ts';
import type { Side } from '../sides.ts';
import { stepFlops } from '../step-flops.ts';
import type { Ready, Replies } from '../step-process.ts';
import { checkLosses, warmUp } from '../train-step.ts';
import type { RunningSide } from '../train-step.ts';
import type { Report, Row, Suite, SuiteOptions, Unit } from './rows.ts';
import { stepFiles } from './step-files.ts';
import type { StepFiles } from './step-files.ts';
import { mfuOf } from './training.ts';

/** The most that one side may take to load, compile and warm up; a compiler that searches takes minutes. */
const warmUpLimitMs = 360_000;
const turnLimitMs = 60_000;

export const compare: Suite = {
  plan: (options) => {
    const groups = options.precisions.flatMap((precision) =>
      options.maskRatios.flatMap((maskRatio) =>
        options.batches.map((batch) => ({ precision, maskRatio, batch })),
      ),
    );
    // The largest of the presets alone: the others are for finding faults.
    const preset = options.presets.at(-1) ?? 'base';
    return groups.map((group) => ({
      suite: 'compare',
      rows: sidesOf(options).map((side) => compareRowName({ preset, ...group }, side)),
      limitSeconds: 500,
      strict: true,
      preset,
      ...group,
    }));
  },

  async run(unit, options, report) {
    const { preset = 'base', precision = 'float32', batch = 2, maskRatio = 0.8 } = unit;
    const files = await stepFiles(preset, batch, maskRatio, options);
    const [first, ...peers] = sidesOf(options) as [Side, ...Side[]];
    const group: Group = { unit, files, precision, options, report };
    const ours = await begin(first, group);
    try {
      for (const peer of peers) {
        await compareWith(ours, peer, group);
        // Again after each, so that it is there when time runs out; the last one counts.
        if (ours !== null && ours.turnsMs.length > 0) await finish(ours, null, group);
      }
      if (ours === null || ours.turnsMs.length > 0) return;
      await takeTurns([ours], options);
      await finish(ours, null, group);
    } finally {
      await ours?.process.stop();
    }
  },
};

/** Ours, alone and captured; then PyTorch's. */
export function sidesOf({ backend, emulated }: SuiteOptions): Side[] {
  const ours: Side[] =
    backend === cudaBackendName ? [backend, 'diffmavil-cuda graph'] : [backend as Side];
  if (emulated) return [...ours, 'PyTorch eager'];
  return [
    ...ours,
    'PyTorch cuda eager',
    'PyTorch cuda graph',
    'PyTorch cuda compile',
    'PyTorch cuda compile graph',
  ];
}

/** Where a row's figures are found again. */
export function compareRowName(
  group: Pick<Unit, 'preset' | 'precision' | 'batch' | 'maskRatio'>,
  side: Side,
): string {
  const { preset, precision, batch, maskRatio } = group;
  return `${preset} ${precision}, ${batch} clips, mask ratio ${maskRatio}: ${side}`;
}

interface Group {
  readonly unit: Unit;
  readonly files: StepFiles;
  readonly precision: Precision;
  readonly options: SuiteOptions;
  readonly report: Report;
}

/** What a row of the comparison holds. */
export interface CompareFigures {
  readonly preset: PresetName;
  readonly precision: Precision;
  readonly batch: number;
  readonly maskRatio: number;
  readonly side: Side;
  readonly medianMs: number;
  readonly turnsMs: readonly number[];
  readonly stepsPerTurn: number;
  /** Ours in the same turns, and this side's time over ours, median over turns; null for ours itself. */
  readonly oursMs: readonly number[] | null;
  readonly ratio: number | null;
  /** Of a step, what the host did not spend waiting for results; null for PyTorch. */
  readonly hostShare: number | null;
  readonly mfu: number | null;
  readonly flops: number;
  readonly deviceBytes: number | null;
  /** Of ours, captured: how often the passes ran plainly, were recorded, were replayed. */
  readonly captures: Replies['memory']['captures'];
  /** The file of the library that ours multiplied by; null where it was not found, and for PyTorch. */
  readonly cublasLt: string | null;
  readonly losses: readonly number[];
  readonly versions: Readonly<Record<string, string>>;
}

/** A side with what its turns said. */
interface TimedSide extends RunningSide {
  /** Of each step. */
  readonly hostShares: number[];
  stepsPerTurn: number;
}

/** A side, warmed up; null, and a row that says why, when it does not get that far. */
async function begin(side: Side, group: Group): Promise<TimedSide | null> {
  const { unit, files, precision, options, report } = group;
  const name = compareRowName(unit, side);
  if (side.startsWith('PyTorch') && options.noTorch !== null) {
    report({ name, state: 'not run', reason: options.noTorch });
    return null;
  }
  const process = startSide(side, { ...files, precision });
  // What cannot start is not there; but ours has to be.
  let state: Row['state'] = side === options.backend ? 'failed' : 'not run';
  try {
    const ready = await process.ask<Ready>(undefined, warmUpLimitMs);
    state = 'failed';
    const running = await warmUp(side, process, ready, warmUpLimitMs);
    return { ...running, hostShares: [], stepsPerTurn: 1 };
  } catch (error) {
    await process.stop();
    report({ name, state, reason: (error as Error).message });
    return null;
  }
}

/** One peer beside ours, or alone when ours does not run. */
async function compareWith(ours: TimedSide | null, side: Side, group: Group): Promise<void> {
  const peer = await begin(side, group);
  if (peer === null) return;
  try {
    if (ours !== null) checkLosses([ours, peer], group.precision);
    const turnsBefore = ours?.turnsMs.length ?? 0;
    await takeTurns(ours === null ? [peer] : [ours, peer], group.options);
    await finish(peer, ours?.turnsMs.slice(turnsBefore) ?? null, group);
  } catch (error) {
    const name = compareRowName(group.unit, side);
    group.report({ name, state: 'failed', reason: (error as Error).message });
  } finally {
    await peer.process.stop();
  }
}

async function takeTurns(running: readonly TimedSide[], options: SuiteOptions): Promise<void> {
  const fastestMs = Math.min(...running.map(({ warmMs }) => warmMs));
  const count = Math.min(20, Math.max(1, Math.round(options.turnMs / fastestMs)));
  // The first turn of a side that captures or tunes is not one to count.
  for (const each of running) await turn(each, count);
  for (let round = 0; round < options.rounds; round++) {
    // Who is first changes, so that neither always follows the other.
    for (const each of round % 2 === 0 ? running : running.toReversed()) {
      const { ms, hostMs = [] } = await turn(each, count);
      each.turnsMs.push(mean(ms));
      each.hostShares.push(...hostMs.map((host, i) => host / ms[i]!));
      each.stepsPerTurn = count;
    }
  }
}

function turn({ process }: TimedSide, count: number): Promise<Replies['steps']> {
  return process.ask<Replies['steps']>({ do: 'steps', count }, turnLimitMs);
}

async function finish(
  { side, process, ready, turnsMs, hostShares, stepsPerTurn, losses }: TimedSide,
  oursMs: readonly number[] | null,
  { unit, files, precision, options, report }: Group,
): Promise<void> {
  const { preset = 'base', batch = 0, maskRatio = 0 } = unit;
  const memory = await process.ask<Replies['memory']>({ do: 'memory' });
  const { deviceBytes = null, captures = null, cublasLt = null } = memory;
  const flops = stepFlops(files.setup.config, batch, maskRatio);
  const figures: CompareFigures = {
    preset,
    precision,
    batch,
    maskRatio,
    side,
    medianMs: median(turnsMs),
    turnsMs,
    stepsPerTurn,
    oursMs,
    ratio: oursMs === null ? null : pairedRatio(oursMs, turnsMs),
    hostShare: hostShares.length === 0 ? null : mean(hostShares),
    mfu: mfuOf(flops, median(turnsMs), precision, options),
    flops,
    deviceBytes,
    captures,
    cublasLt,
    losses,
    versions: ready.versions,
  };
  const row = { name: compareRowName(unit, side), figures: { ...figures } };
  const reason = reasonAgainst(oursMs !== null || side === options.backend, captures);
  report(reason === null ? { ...row, state: 'passed' } : { ...row, state: 'failed', reason });
}

function reasonAgainst(compared: boolean, captures: CompareFigures['captures']): string | null {
  if (!compared) return 'ours did not run, so that no losses were compared';
  return captures?.replayed === 0 ? 'no step was replayed' : null;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
