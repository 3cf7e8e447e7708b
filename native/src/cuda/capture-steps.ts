// SPDX-License-Identifier: Apache-2.0
// Steps as CUDA graphs: the ops of a function of tensors are recorded once for each shape of its inputs and then started all at once,
// which spares the host everything else that the function does.
import { mapTensors } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NativeBuffer } from '../binding.ts';
import { CudaBackend } from './backend.ts';
import type { Device, DeviceGraph } from './device.ts';

/** Tensors by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** A function whose calls are recorded and replayed. */
export interface CapturedSteps<I extends Tensors, O extends Tensors, How = void> {
  /**
   * The results of `f` for these inputs. Those of a graph stay the graph's own: the next call with inputs of the same shapes writes into
   * them, and disposing them does nothing to the graph.
   */
  (inputs: I, how: How): O;
  /** How often `f` was called, recorded and replayed. */
  readonly counts: { readonly plain: number; readonly recorded: number; readonly replayed: number };
  /** Frees the graphs and their memory. */
  dispose(): void;
}

export interface CaptureOptions<How> {
  /** What of `how` decides which ops are run: another string is another graph. Default: all of it, as JSON. */
  readonly keyOf?: (how: How) => string;
  /** How many shapes are remembered, with a graph and memory of its own each; the one met first is forgotten first. Default: all. */
  readonly graphs?: number;
}

interface Graph<O extends Tensors> {
  readonly device: Device;
  readonly graph: DeviceGraph;
  /** Buffers of other tensors, in whose place it works. */
  readonly outside: ReadonlySet<NativeBuffer>;
  readonly inputs: Tensors;
  readonly outputs: O;
}

/**
 * Makes of `f` a function that runs plainly the first time it meets inputs of some shapes and dtypes, is recorded the second time, and
 * is replayed from then on. It is recorded anew when a tensor that it used from elsewhere has been disposed: a weight that was replaced,
 * not one that was updated in place.
 *
 * @param f what it does may depend on its inputs' values through ops alone: it reads no values, draws nothing, and uses no number that changes
 *   between calls, but for those that the key of `how` tells apart. On other backends it is called every time.
 * @throws Error when `f` reads values while it is recorded, DeviceError when the graph's memory is not there; nothing is kept of it.
 */
export function captureSteps<I extends Tensors, O extends Tensors, How = void>(
  f: (inputs: I, how: How) => O,
  { keyOf = JSON.stringify, graphs: limit = Infinity }: CaptureOptions<How> = {},
): CapturedSteps<I, O, How> {
  const graphs = new Map<string, Graph<O> | null>();
  const counts = { plain: 0, recorded: 0, replayed: 0 };
  const drop = (key: string): void => {
    const known = graphs.get(key);
    graphs.delete(key);
    if (known) release(known);
  };
  const call = (inputs: I, how: How): O => {
    const backend = tf.backend();
    const key = `${shapesOf(inputs)}; ${keyOf(how)}`;
    if (!(backend instanceof CudaBackend) || !graphs.has(key)) {
      if (backend instanceof CudaBackend) {
        // Its memory may be needed already for what runs plainly.
        if (graphs.size >= limit) drop(graphs.keys().next().value!);
        graphs.set(key, null);
      }
      counts.plain++;
      return tf.tidy(() => f(inputs, how) as tf.NamedTensorMap) as O;
    }
    let known = graphs.get(key) ?? null;
    if (known !== null && isStale(known, backend)) {
      drop(key);
      known = null;
    }
    if (known === null) {
      known = record(backend, (own: I) => f(own, how), inputs);
      graphs.set(key, known);
      counts.recorded++;
    } else {
      for (const [name, own] of Object.entries(known.inputs)) backend.copyTo(inputs[name]!, own);
      counts.replayed++;
    }
    backend.device.replay(known.graph);
    return mapTensors(known.outputs, (x) => tf.clone(x));
  };
  return Object.assign(call, {
    counts,
    dispose: () => {
      for (const key of graphs.keys()) drop(key);
    },
  });
}

/** With names and dtypes. */
function shapesOf(inputs: Tensors): string {
  return Object.entries(inputs)
    .map(([name, { dtype, shape }]) => `${name} ${dtype} ${shape.join('x')}`)
    .join(', ');
}

/** Whether memory that the graph works on, and that is not its own, has been given back. */
function isStale({ outside }: Graph<Tensors>, backend: CudaBackend): boolean {
  return [...outside].some((buffer) => backend.binding.isFreed(buffer));
}

function record<I extends Tensors, O extends Tensors>(
  backend: CudaBackend,
  f: (inputs: I) => O,
  inputs: I,
): Graph<O> {
  const { device, binding } = backend;
  // Places of the graph's own, with nothing in JavaScript that a kernel could take for a constant.
  const own = mapTensors(inputs, (x) => {
    const place = backend.allocate(x.shape, x.dtype);
    backend.copyTo(x, place);
    return tf.keep(tf.engine().makeTensorFromTensorInfo(place));
  });
  const recording = { made: new Set<NativeBuffer>(), outside: new Set<NativeBuffer>() };
  // The graph takes memory of its own from the driver, which plain calls may have left cached for others.
  device.trim();
  device.captureBegin();
  binding.recording = recording;
  try {
    const outputs = tf.tidy(() => f(own) as tf.NamedTensorMap) as O;
    const kept = mapTensors(outputs, (x) => tf.keep(x));
    const graph = device.captureEnd();
    return { device, graph, outside: recording.outside, inputs: own, outputs: kept };
  } catch (error) {
    device.free(device.captureEnd());
    tf.dispose(own);
    throw error;
  } finally {
    binding.recording = null;
  }
}

function release({ graph, device, inputs, outputs }: Graph<Tensors>): void {
  device.free(graph);
  tf.dispose([inputs, outputs] as tf.NamedTensorMap[]);
}
