// SPDX-License-Identifier: Apache-2.0
// How much the tape holds for the walk back.
import * as tf from '@tensorflow/tfjs-core';

interface TapeNode {
  readonly inputs: Readonly<Record<string, tf.Tensor>>;
  readonly outputs: readonly tf.Tensor[];
  readonly saved: readonly tf.Tensor[];
}

interface EngineState {
  readonly activeTape: readonly TapeNode[] | null;
  readonly tensorInfo: WeakMap<object, { readonly bytes: number }>;
}

/**
 * Bytes of the distinct buffers that the active tape saved on the way from `parameters` to `loss`; those of the parameters and of `inputs`, which
 * are there anyway, do not count. Call it inside the function that is differentiated.
 */
export function savedBytes(
  loss: tf.Tensor,
  parameters: readonly tf.Tensor[],
  inputs: readonly tf.Tensor[] = [],
): number {
  const { state } = tf.engine() as unknown as { readonly state: EngineState };
  const reached = new Set(parameters.map(({ id }) => id));
  const nodes = (state.activeTape ?? []).filter((node) => {
    if (!tensorsInto(node).some(({ id }) => reached.has(id))) return false;
    for (const { id } of node.outputs) reached.add(id);
    return true;
  });
  const leading = new Set([loss.id]);
  const needed = nodes.toReversed().filter((node) => {
    if (!node.outputs.some(({ id }) => leading.has(id))) return false;
    for (const { id } of tensorsInto(node)) leading.add(id);
    return true;
  });
  const given = new Set<object>([...parameters, ...inputs].map(({ dataId }) => dataId));
  const buffers = new Set<object>(needed.flatMap(({ saved }) => saved.map(({ dataId }) => dataId)));
  return [...buffers]
    .filter((buffer) => !given.has(buffer))
    .reduce((sum, buffer) => sum + (state.tensorInfo.get(buffer)?.bytes ?? Number.NaN), 0);
}

function tensorsInto({ inputs }: TapeNode): tf.Tensor[] {
  return Object.values(inputs).filter((x) => x instanceof tf.Tensor);
}
