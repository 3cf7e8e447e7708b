// SPDX-License-Identifier: Apache-2.0
// The parts of tfjs-core's engine that its types hide and that our backward pass needs: the tape, the scopes, the tracking of
// tensors. They have not changed since tfjs-core 4.0 and are checked for here, in one place, before they are used.
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from './errors.ts';

/** One recorded kernel. */
export interface TapeNode {
  readonly id: number;
  readonly kernelName: string;
  /** By name, or by position for kernels that take a list. */
  readonly inputs: Readonly<Record<string, tf.Tensor>>;
  readonly outputs: readonly tf.Tensor[];
  /** Tensors kept for the gradient; they belong to the node. */
  readonly saved: readonly tf.Tensor[];
  readonly gradient?: (dys: readonly tf.Tensor[]) => Readonly<Record<string, () => tf.Tensor>>;
}

/** What the engine has at run time. */
export interface EngineInternals {
  readonly state: {
    activeTape: TapeNode[] | null;
    nextTapeNodeId: number;
    gradientDepth: number;
    kernelDepth: number;
    readonly activeScope: { readonly id: number } | null;
    readonly numDataMovesStack: number[];
  };
  readonly track: (tensor: tf.Tensor) => tf.Tensor;
  readonly isTapeOn: () => boolean;
}

/** The engine with its internals; `checkTfjsVersion` comes first. */
export function engineInternals(): EngineInternals {
  return tf.engine() as unknown as EngineInternals;
}

/**
 * Checks that the engine is of a version whose internals are known.
 *
 * @param where who asks, for the message.
 * @throws ConfigError unless the version is 4.22 or 4.23.
 */
export function checkTfjsVersion(where: string, version: string = tf.version_core): void {
  if (!/^4\.2[23]\./.test(version)) {
    throw new ConfigError(
      `${where}: expected @tensorflow/tfjs-core 4.22 or 4.23, got ${version}. ` +
        'Try: npm install @tensorflow/tfjs-core@4.22.0',
    );
  }
}

/** Runs `f` and records its kernels on a tape of its own; the tape of an outer gradient sees none of them. */
export function record<T>(f: () => T): { readonly result: T; readonly tape: TapeNode[] } {
  const tape: TapeNode[] = [];
  try {
    return { result: withState({ activeTape: tape, gradientDepth: 1, kernelDepth: 0 }, f), tape };
  } catch (error) {
    disposeSaved(tape);
    throw error;
  }
}

/** Runs `f` and records nothing. */
export function withoutTape<T>(f: () => T): T {
  return withState({ activeTape: null, gradientDepth: 0 }, f);
}

/** Adds a node of our own to the active tape; only while `isTapeOn()`. */
export function recordNode(node: Omit<TapeNode, 'id'>): void {
  const { state } = engineInternals();
  state.activeTape?.push({ id: state.nextTapeNodeId++, ...node });
}

/** Frees what nodes keep for their gradients. */
export function disposeSaved(tape: readonly TapeNode[]): void {
  for (const node of tape) for (const tensor of node.saved) tensor.dispose();
}

/** A second tensor over the same data. */
export function alias(x: tf.Tensor): tf.Tensor {
  return tf.engine().runKernel<tf.Tensor>('Identity', { x });
}

/** A float32 tensor of one value, made by the backend: nothing is uploaded. */
export function filled(
  shape: readonly number[],
  value: number,
  dtype: string = 'float32',
): tf.Tensor {
  return tf.engine().runKernel<tf.Tensor>('Fill', {}, { shape: [...shape], value, dtype });
}

/** Tells the leak check of the kernel that is running (under IS_TEST) that a buffer which came up meanwhile is not its own. */
export function excuseNewBuffer(): void {
  const { numDataMovesStack } = engineInternals().state;
  const top = numDataMovesStack.pop();
  if (top !== undefined) numDataMovesStack.push(top + 1);
}

/** Whether the active scope made the tensor and would dispose it. */
export function isOfActiveScope(tensor: tf.Tensor): boolean {
  return !tensor.kept && tensor.scopeId === engineInternals().state.activeScope?.id;
}

/** Takes a tensor out of the care of all scopes. */
export function hold(tensor: tf.Tensor): tf.Tensor {
  tensor.kept = true;
  return tensor;
}

/** Gives a held tensor to the active scope, as if it had just been made. */
export function release(tensor: tf.Tensor): tf.Tensor {
  tensor.kept = false;
  return engineInternals().track(tensor);
}

type TapeState = Pick<EngineInternals['state'], 'activeTape' | 'gradientDepth'> &
  Partial<Pick<EngineInternals['state'], 'kernelDepth'>>;

function withState<T>(changes: TapeState, f: () => T): T {
  const { state } = engineInternals();
  const { activeTape, gradientDepth, kernelDepth } = state;
  Object.assign(state, changes);
  try {
    return f();
  } finally {
    Object.assign(state, { activeTape, gradientDepth, kernelDepth });
  }
}
