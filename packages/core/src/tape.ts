// SPDX-License-Identifier: Apache-2.0
// The walk back over a tape. tfjs's own keeps every saved tensor and every intermediate gradient until the walk is over; this
// one frees each as soon as it is used, which halves the peak, and it can run inside another gradient (checkpointing does).
import * as tf from '@tensorflow/tfjs-core';
import './register-gradients.ts';
import { ShapeError } from './errors.ts';
import { formatShape } from './shapes.ts';
import {
  alias,
  disposeSaved,
  excuseNewBuffer,
  filled,
  hold,
  isOfActiveScope,
  withoutTape,
  type TapeNode,
} from './tfjs-engine.ts';

export interface BackwardPass {
  /** What to walk. What its nodes saved is freed, also when the walk throws. */
  readonly tape: readonly TapeNode[];
  /** Where the walk starts. */
  readonly y: tf.Tensor;
  /** The gradient of `y`, same shape; borrowed. */
  readonly dy: tf.Tensor;
  /** The tensors whose gradients are wanted. */
  readonly targets: readonly tf.Tensor[];
  /** Called when the gradient of a target (given by its id) will change no more. */
  readonly onFinal?: (id: number, gradient: tf.Tensor) => void;
}

/** Gradients under way by tensor id, all held. */
type Gradients = Map<number, tf.Tensor>;

interface Step {
  readonly node: TapeNode;
  readonly inputs: readonly (readonly [name: string, x: tf.Tensor])[];
}

interface Walk {
  readonly targetIds: ReadonlySet<number>;
  /** The ids of the targets and of all tensors computed from them. */
  readonly dependent: Set<number>;
  readonly gradients: Gradients;
  /** The walk that this one runs inside of. */
  readonly outer: Walk | null;
}

let currentWalk: Walk | null = null;

/** Whether some gradient under way passes through the tensor. */
export function isDifferentiated(id: number): boolean {
  for (let walk = currentWalk; walk !== null; walk = walk.outer) {
    if (walk.dependent.has(id)) return true;
  }
  return false;
}

/** Whether the innermost gradient under way needs that of the tensor; unknown, hence true, in a walk of tfjs's own. */
export function isWanted(id: number): boolean {
  return currentWalk?.dependent.has(id) ?? true;
}

/**
 * Walks the tape backward and returns the gradients of the targets by tensor id, held (the caller releases them); a target
 * that `y` does not depend on has none. Nothing is left behind when it throws.
 */
export function backpropagate({ tape, y, dy, targets, onFinal }: BackwardPass): Gradients {
  const targetIds = new Set(targets.map((target) => target.id));
  const gradients: Gradients = new Map();
  const walk: Walk = { targetIds, dependent: new Set(targetIds), gradients, outer: currentWalk };
  try {
    return withoutTape(() => {
      const steps = stepsBetween(tape, walk, y.id);
      gradients.set(y.id, hold(alias(dy)));
      currentWalk = walk;
      const finals = finalsByStep(steps, targetIds);
      const report = (id: number): void => onFinal?.(id, gradients.get(id)!);
      if (targetIds.has(y.id)) report(y.id);
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        stepBack(step, walk);
        finals.get(step)?.forEach(report);
      }
      if (!targetIds.has(y.id)) {
        // Still there when y depends on no target.
        gradients.get(y.id)?.dispose();
        gradients.delete(y.id);
      }
      return gradients;
    });
  } catch (error) {
    for (const gradient of gradients.values()) gradient.dispose();
    throw error;
  } finally {
    currentWalk = walk.outer;
    disposeSaved(tape);
  }
}

/** The nodes between the targets and `y`, in order; frees what the others saved and fills `walk.dependent`. */
function stepsBetween(tape: readonly TapeNode[], { dependent }: Walk, yId: number): Step[] {
  const fromTargets = tape
    .map((node): Step => ({ node, inputs: tensorInputs(node) }))
    .filter(({ node, inputs }) => {
      if (!inputs.some(([, x]) => dependent.has(x.id))) return false;
      for (const output of node.outputs) dependent.add(output.id);
      return true;
    });
  const leading = new Set([yId]);
  const steps = fromTargets
    .reverse()
    .filter(({ node, inputs }) => {
      if (!node.outputs.some((output) => leading.has(output.id))) return false;
      for (const [, x] of inputs) leading.add(x.id);
      return true;
    })
    .reverse();
  const kept = new Set(steps.map((step) => step.node));
  disposeSaved(tape.filter((node) => !kept.has(node)));
  return steps;
}

/** For each step, the targets that no earlier step uses: their gradients are final after it. */
function finalsByStep(
  steps: readonly Step[],
  targetIds: ReadonlySet<number>,
): Map<Step, Set<number>> {
  const finals = new Map<Step, Set<number>>();
  const seen = new Set<number>();
  for (const step of steps) {
    const used = step.inputs
      .map(([, x]) => x.id)
      .filter((id) => targetIds.has(id) && !seen.has(id));
    if (used.length > 0) finals.set(step, new Set(used));
    for (const id of used) seen.add(id);
  }
  return finals;
}

/** Adds a node's gradients to those of its inputs, then frees the gradients of its outputs and what it saved. */
function stepBack({ node, inputs }: Step, { gradients, dependent, targetIds }: Walk): void {
  const { kernelName, outputs, saved } = node;
  if (node.gradient === undefined) {
    throw new Error(
      `backward: expected kernel ${kernelName} to have a gradient, got none registered`,
    );
  }
  const spent: tf.Tensor[] = [];
  try {
    const dys = outputs.map((output) => {
      const dy = gradients.get(output.id);
      if (dy === undefined) return lazyZeros(output, spent);
      if (!targetIds.has(output.id)) {
        gradients.delete(output.id);
        spent.push(dy);
      }
      return dy;
    });
    tf.tidy(() => {
      const closures = node.gradient!(dys);
      for (const [name, x] of inputs) {
        if (!dependent.has(x.id)) continue;
        const closure = closures[name];
        if (closure === undefined) {
          const names = Object.keys(closures).join(', ');
          throw new Error(
            `backward: expected ${kernelName} to have a gradient of ${name}, got those of ${names}`,
          );
        }
        accumulate(
          gradients,
          x.id,
          inputGradient(closure, x, `${kernelName}: gradient of ${name}`),
        );
      }
    });
  } finally {
    for (const tensor of spent) tensor.dispose();
    for (const tensor of saved) tensor.dispose();
  }
}

/** The gradient of one input, held and shared with nobody. */
function inputGradient(closure: () => tf.Tensor, x: tf.Tensor, what: string): tf.Tensor {
  const dx = tf.tidy(closure);
  if (dx.dtype !== 'float32' || !tf.util.arraysEqual(dx.shape, x.shape)) {
    throw new ShapeError(
      `backward: ${what}: expected float32 ${formatShape(x.shape)}, ` +
        `got ${dx.dtype} ${formatShape(dx.shape)}`,
    );
  }
  return hold(isOfActiveScope(dx) ? dx : alias(dx));
}

function accumulate(gradients: Gradients, id: number, dx: tf.Tensor): void {
  const sum = gradients.get(id);
  if (sum === undefined) {
    gradients.set(id, dx);
    return;
  }
  try {
    gradients.set(id, hold(tf.engine().runKernel<tf.Tensor>('Add', { a: sum, b: dx })));
    sum.dispose();
  } finally {
    dx.dispose();
  }
}

/**
 * The gradient of an output that nothing depends on: zeros, filled in only if something reads them (most kernels ignore the
 * gradients of their auxiliary outputs). What was filled in is added to `spent`.
 */
function lazyZeros(like: tf.Tensor, spent: tf.Tensor[]): tf.Tensor {
  const zeros = new tf.Tensor(like.shape, like.dtype, {}, -1);
  let dataId: tf.DataId | undefined;
  Object.defineProperty(zeros, 'dataId', {
    get() {
      if (dataId === undefined) {
        const tensor = hold(filled(like.shape, 0, like.dtype));
        excuseNewBuffer(); // It is mostly a kernel that reads dataId.
        spent.push(tensor);
        ({ dataId } = tensor);
      }
      return dataId;
    },
  });
  return hold(zeros);
}

function tensorInputs(node: TapeNode): (readonly [name: string, x: tf.Tensor])[] {
  return Object.entries(node.inputs).filter(([, x]) => x instanceof tf.Tensor);
}
