// SPDX-License-Identifier: Apache-2.0
// One training step (forward, backward, AdamW) of the pinned model: ours against PyTorch on the same weights and batch. Every side is a
// process that stays alive and steps on command; turns are interleaved, A B C A B C …, and nothing is timed before the losses agree.
import type { Precision } from '@diffmavil/core';
import { presets } from '@diffmavil/model';
import type { PresetName } from '@diffmavil/model';
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { BenchError } from './bench-error.ts';
import type { LineProcess } from './child-process.ts';
import { median, pairedRatio } from './rounds.ts';
import { cache, startSide } from './sides.ts';
import type { Side } from './sides.ts';
import { stepFlops } from './step-flops.ts';
import type { Ready, Replies } from './step-process.ts';
import { setupFolder } from './step-setup.ts';
import type { StepSetup } from './step-setup.ts';
import type { StepProfile } from './stepper.ts';

export interface TrainStepOptions {
  readonly presets: readonly PresetName[];
  readonly precisions: readonly Precision[];
  /** The first is the base of ratios and losses. */
  readonly sides: readonly Side[];
  readonly batch: number;
  readonly maskRatio: number;
  readonly threads: number;
  readonly rounds: number;
  /** A turn has as many steps as fit into this time on the fastest side, 1 to 20. */
  readonly turnMs: number;
  /** Steps of the profile of each side after the rounds; 0 for none. */
  readonly profileSteps: number;
  readonly log: (line: string) => void;
}

/** One side at one preset and dtype. */
export interface SideResult {
  readonly side: Side;
  readonly versions: Readonly<Record<string, string>>;
  /** Losses of the steps before timing, from the first. */
  readonly losses: readonly number[];
  /** Median step of each turn. */
  readonly turnsMs: readonly number[];
  readonly medianMs: number;
  /** Time over that of the first side, median over rounds. */
  readonly ratio: number;
  readonly gflopPerS: number;
  /** Resident, highest during warm-up and rounds; with loading where `peakReset` is false. */
  readonly peakBytes: number | null;
  readonly peakReset: boolean;
  readonly profile: StepProfile | null;
}

export interface GroupResult {
  readonly preset: PresetName;
  readonly precision: Precision;
  readonly batch: number;
  readonly maskRatio: number;
  readonly parameters: number;
  /** Of one step. */
  readonly flops: number;
  readonly stepsPerTurn: number;
  readonly results: readonly SideResult[];
  /** Sides that could not run, and why. */
  readonly missing: Readonly<Record<string, string>>;
}

const warmUpSteps = 3;

/** Runs every preset and dtype. Throws BenchError when two sides disagree on a loss. */
export async function benchTrainStep(options: TrainStepOptions): Promise<GroupResult[]> {
  const groups: GroupResult[] = [];
  for (const preset of options.presets) {
    const { batch, maskRatio } = options;
    const setup: StepSetup = { config: presets[preset], batch, maskRatio, seed: 1 };
    const folder = setupFolder(cache, setup);
    if (!existsSync(folder)) {
      options.log(`${preset}: writing weights and batch`);
      const given = { folder, setup, precision: 'float32', threads: options.threads } as const;
      const side = startSide('wasm', given, true);
      await side.ask();
      await side.stop();
    }
    for (const precision of options.precisions) {
      groups.push(await benchGroup(preset, setup, folder, precision, options));
    }
  }
  return groups;
}

/** A side that has been warmed up. */
export interface RunningSide {
  readonly side: Side;
  readonly process: LineProcess;
  readonly ready: Ready;
  readonly losses: readonly number[];
  readonly warmMs: number;
  readonly turnsMs: number[];
}

async function benchGroup(
  preset: PresetName,
  setup: StepSetup,
  folder: string,
  precision: Precision,
  options: TrainStepOptions,
): Promise<GroupResult> {
  const missing: Record<string, string> = {};
  const running: RunningSide[] = [];
  const flops = stepFlops(setup.config, setup.batch, setup.maskRatio);
  try {
    for (const side of options.sides) {
      const process = startSide(side, { folder, setup, precision, threads: options.threads });
      try {
        running.push(await warmUp(side, process, await process.ask<Ready>()));
        options.log(`${preset} ${precision} ${side}: ready`);
      } catch (error) {
        missing[side] = (error as Error).message;
        options.log(`${preset} ${precision}: left out ${missing[side]}`);
        await process.stop();
      }
    }
    checkLosses(running, precision);
    const fastestMs = Math.min(...running.map(({ warmMs }) => warmMs));
    const stepsPerTurn = Math.min(20, Math.max(1, Math.round(options.turnMs / fastestMs)));
    for (let round = 0; round < options.rounds; round++) {
      for (const { process, turnsMs } of running) {
        await setTimeout(20); // the side before lets its threads sleep
        const { ms } = await ask(process, 'steps', stepsPerTurn);
        turnsMs.push(median(ms));
      }
    }
    const results: SideResult[] = [];
    for (const side of running) {
      results.push(await sideResult(side, running[0]!.turnsMs, flops, options.profileSteps));
    }
    const parameters = running[0]?.ready.parameters ?? 0;
    const { batch, maskRatio } = setup;
    const head = { preset, precision, batch, maskRatio, parameters, flops, stepsPerTurn };
    return { ...head, results, missing };
  } finally {
    for (const { process } of running) await process.stop();
  }
}

/** The first steps, within a limit of time. */
export async function warmUp(
  side: Side,
  process: LineProcess,
  ready: Ready,
  limitMs: number = Infinity,
): Promise<RunningSide> {
  const request = { do: 'steps', count: warmUpSteps };
  const { ms, losses } = await process.ask<Replies['steps']>(request, limitMs);
  return { side, process, ready, losses, warmMs: ms.at(-1) ?? NaN, turnsMs: [] };
}

async function sideResult(
  { side, process, ready, losses, turnsMs }: RunningSide,
  baseMs: readonly number[],
  flops: number,
  profileSteps: number,
): Promise<SideResult> {
  const { peakBytes } = await ask(process, 'memory');
  const profile = profileSteps > 0 ? await ask(process, 'profile', profileSteps) : null;
  const medianMs = median(turnsMs);
  return {
    side,
    versions: ready.versions,
    losses,
    turnsMs,
    medianMs,
    ratio: pairedRatio(baseMs, turnsMs),
    gflopPerS: flops / medianMs / 1e6,
    peakBytes,
    peakReset: ready.peakReset,
    profile,
  };
}

function ask<Verb extends keyof Replies>(
  process: LineProcess,
  verb: Verb,
  count?: number,
): Promise<Replies[Verb]> {
  return process.ask({ do: verb, count });
}

/**
 * The loss of the first step agrees within 1e-4 in float32, which says that the forward passes are the same; those after the first updates
 * within 1e-3, which says the same of gradients and optimizer. bfloat16 rounds to 8 bits: 2e-2.
 */
export function checkLosses(
  sides: readonly { readonly side: string; readonly losses: readonly number[] }[],
  precision: Precision,
): void {
  const [base, ...others] = sides;
  for (const { side, losses } of others) {
    for (const [step, loss] of losses.entries()) {
      const expected = base!.losses[step]!;
      const tolerance = precision === 'bfloat16' ? 2e-2 : step === 0 ? 1e-4 : 1e-3;
      const error = Math.abs(loss - expected) / Math.abs(expected);
      if (!(error <= tolerance)) {
        throw new BenchError(
          `${side}: expected the loss ${expected} of ${base!.side} at step ${step} within ${tolerance}, got ${loss}`,
        );
      }
    }
  }
}
