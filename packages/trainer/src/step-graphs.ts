// SPDX-License-Identifier: Apache-2.0
// Steps as graphs: a backend that can record a whole step, passes and update, and start it all at once, spares the host most of its work.
// Whether that is faster depends on machine, model and batch, so it is measured in the run itself: some steps are timed op by op, some
// replayed, and the faster way is kept. The numbers are the same either way.
import { mapTensors, tensorsIn } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { TrainState } from './checkpoint.ts';
import {
  type LossOutputs,
  type StartedStep,
  type StepConstants,
  type StepOptions,
  startStep,
  stepOf,
  stepRates,
} from './step.ts';

/** A batch whose tensors are made. */
export interface PreparedBatch<Tree = unknown> {
  /** A tree of tensors, which the loop disposes. */
  readonly tensors: Tree;
  /** A function of the weights, and of these tensors or others of the same shapes. The loop calls it inside `tf.tidy`. */
  loss(parameters: TrainState['parameters'], tensors: Tree): LossOutputs;
  /**
   * What the ops of `loss` depend on besides weights and tensors, for batches of the same key and shapes to share a recorded step. Absent where they depend
   * on something else.
   */
  readonly key?: string;
}

type Tensors = Record<string, tf.Tensor>;

/** How a backend offers to record: `captureSteps` of @diffmavil/native. */
type CaptureSteps = <How>(
  f: (inputs: Tensors, how: How) => Tensors,
  options: { readonly keyOf: (how: How) => string; readonly graphs: number },
) => CapturedSteps<How>;

interface CapturedSteps<How> {
  (inputs: Tensors, how: How): Tensors;
  readonly counts: StepGraphs['counts'];
  dispose(): void;
}

/** A step to be started. */
interface StepCall {
  readonly state: TrainState;
  readonly batch: PreparedBatch;
  readonly constants: StepConstants;
}

/**
 * Steps that run op by op once for each key and shapes, are recorded the next time, and replayed from then on; all op by op until AdamW updates every weight in
 * place, which it does where nobody else holds one.
 */
export interface StepGraphs {
  /** As `startStep`. @throws DeviceError where the memory of the graph is not there, Error where the loss reads values; the state is as it was then. */
  start(state: TrainState, batch: PreparedBatch, options: StepOptions): StartedStep;
  readonly counts: { readonly plain: number; readonly recorded: number; readonly replayed: number };
  /** Frees the graph and its memory. */
  dispose(): void;
}

/** Steps as graphs, of which the newest is kept; null where the backend cannot record. */
export function stepGraphs(): StepGraphs | null {
  const { captureSteps } = tf.backend() as { readonly captureSteps?: CaptureSteps };
  if (captureSteps === undefined) return null;
  const captured = captureSteps<StepCall>(
    ({ rates, ...inputs }, { state, batch, constants }) => {
      const loss: Parameters<typeof stepOf>[1] = (parameters) =>
        batch.loss(parameters, renamed(batch.tensors, inputs));
      const { state: next, figures } = stepOf(state, loss, rates as tf.Tensor1D, constants);
      if (!isSame(state, next))
        throw new Error('train: expected weights updated in place, got new ones');
      return figures;
    },
    { keyOf: ({ batch }) => batch.key ?? '', graphs: 1 },
  );
  let inPlace = false;
  return {
    start: (state, batch, options) => {
      if (!inPlace) {
        const started = startPlainly(state, batch, options);
        inPlace = isSame(state, started.state);
        return started;
      }
      const rates = stepRates(options);
      try {
        const inputs = { ...named(batch.tensors), rates };
        return { state, figures: captured(inputs, { state, batch, constants: options }) };
      } finally {
        rates.dispose();
      }
    },
    counts: captured.counts,
    dispose: () => captured.dispose(),
  };
}

function startPlainly(state: TrainState, batch: PreparedBatch, options: StepOptions): StartedStep {
  return startStep(state, (parameters) => batch.loss(parameters, batch.tensors), options);
}

/** The tensors of a tree, by their number in it. */
function named(tree: unknown): Tensors {
  return Object.fromEntries(tensorsIn(tree).entries());
}

/** The tree with other tensors of the same numbers. */
function renamed<Tree>(tree: Tree, tensors: Tensors): Tree {
  const numbers = new Map(tensorsIn(tree).map((tensor, i) => [tensor, i]));
  return mapTensors(tree, (tensor) => tensors[numbers.get(tensor)!]!);
}

/** Whether the second has the tensors of the first. */
function isSame(a: TrainState, b: TrainState): boolean {
  const others = tensorsIn(b);
  return tensorsIn(a).every((tensor, i) => tensor === others[i]);
}

/** What was measured: medians of steps, and which way they go from now on. */
export interface GraphChoice {
  readonly plainMs: number;
  /** Null where a step could not be recorded. */
  readonly replayedMs: number | null;
  readonly kept: boolean;
  /** Why it could not: memory, most likely. */
  readonly problem?: string;
}

/** Starts the steps of a run. */
export interface StepStarter {
  start(state: TrainState, batch: PreparedBatch, options: StepOptions): StartedStep;
  /** How long the last step took, from its start until its figures were read, ms. */
  took(ms: number): void;
  dispose(): void;
}

/** Steps of each kind that are not timed, as they allocate and tune, and that are. */
const warmUps = 2;
const timed = 5;

/**
 * Starts steps op by op, or as graphs where the backend can record and replays prove faster.
 * @param onChoice Told once, when it is decided.
 */
export function stepStarter(onChoice: (choice: GraphChoice) => void): StepStarter {
  let graphs = stepGraphs();
  const plain: number[] = [];
  const replayed: number[] = [];
  let key: string | undefined;
  /** What `took` will tell of. */
  let last: number[] | null = null;
  let decided = false;

  const decide = (replayedMs: number | null, problem?: string): void => {
    const plainMs = median(plain);
    const kept = replayedMs !== null && replayedMs < plainMs;
    decided = true;
    if (!kept) {
      graphs?.dispose();
      graphs = null;
    }
    onChoice({ plainMs, replayedMs, kept, ...(problem !== undefined && { problem }) });
  };
  const asGraph = (...step: Parameters<StepGraphs['start']>): StartedStep | null => {
    if (graphs === null || plain.length < warmUps + timed) return null;
    try {
      const before = graphs.counts.replayed;
      const started = graphs.start(...step);
      last = graphs.counts.replayed > before ? replayed : null;
      return started;
    } catch (error) {
      // What is wrong with the step itself is wrong with it op by op, too.
      decide(null, (error as Error).message);
      return null;
    }
  };
  return {
    start(state, batch, options) {
      if (batch.key === undefined) return startPlainly(state, batch, options);
      if (batch.key !== key && !decided) {
        // Steps of other sizes are not to be compared.
        key = batch.key;
        plain.length = 0;
        replayed.length = 0;
        graphs?.dispose();
      }
      last = plain;
      return asGraph(state, batch, options) ?? startPlainly(state, batch, options);
    },
    took(ms) {
      if (decided || last === null) return;
      last.push(ms);
      if (replayed.length === warmUps + timed) decide(median(replayed));
    },
    dispose: () => graphs?.dispose(),
  };
}

/** Of those that are timed. */
function median(ms: readonly number[]): number {
  const sorted = ms.slice(warmUps).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
