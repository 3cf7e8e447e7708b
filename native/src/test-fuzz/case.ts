// SPDX-License-Identifier: Apache-2.0
// A differential test: the same tensors through the native backend and through a reference on tfjs's cpu backend. Without a test runner,
// so that programs of other processes can run cases too.
import * as tf from '@tensorflow/tfjs-core';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { backendName } from '../register.ts';
import { Fuzz } from './draw.ts';
import type { Data, Inputs, Values } from './draw.ts';

/** How far a float32 result may be from the reference; every bound that is given counts. None: equal. */
export interface Bound {
  /** Each element, in units of the reference's last place or, where that is more, absolutely. */
  readonly ulp?: number;
  readonly abs?: number;
  /** The sum of squared errors by the sum of squares. */
  readonly nmse?: number;
}

export interface FuzzCase {
  /** What it is, for the message of a failure. */
  readonly title: string;
  /** Makes its inputs on the active backend. */
  readonly run: () => tf.Tensor[];
  /** What `run` is compared with on the cpu backend; default `run` itself. */
  readonly reference?: () => tf.Tensor[];
  readonly bound: Bound;
}

/** The cases of a kernel; the same for the same seed. */
export type Draw = (fuzz: Fuzz) => Iterable<FuzzCase>;

/** One call of a kernel that the cpu backend has too. */
export function kernelCase(
  name: string,
  inputs: Inputs,
  attrs: Readonly<Record<string, unknown>> = {},
  bound: Bound = {},
): FuzzCase {
  const run = (): tf.Tensor[] => {
    const tensors = Array.isArray(inputs)
      ? inputs.map(upload)
      : Object.fromEntries(Object.entries(inputs).map(([key, data]) => [key, upload(data)]));
    const result: unknown = tf
      .engine()
      .runKernel(name, tensors as tf.NamedTensorMap, attrs as tf.NamedAttrMap);
    return (Array.isArray(result) ? result : [result]) as tf.Tensor[];
  };
  return { title: describe(name, inputs, attrs), run, bound };
}

/** The value of an op and its gradients for a drawn dy, against those of a twin in plain ops. */
export function opCase(
  fuzz: Fuzz,
  title: string,
  inputs: readonly Data[],
  op: (...x: tf.Tensor[]) => tf.Tensor,
  twin: (...x: tf.Tensor[]) => tf.Tensor = op,
  bound: Bound = { nmse: 1e-10, abs: 1e-4 },
): FuzzCase {
  const seed = fuzz.integer(0, 2 ** 20);
  const both = (f: typeof op) => (): tf.Tensor[] => {
    const x = inputs.map(upload);
    const value = f(...x);
    const dy = upload(new Fuzz(`dy ${seed}`).plain(value.shape));
    return [value, ...(x.length === 0 ? [] : tf.grads(f)(x, dy))];
  };
  const shapes = inputs.map(({ shape }) => `[${shape.join(', ')}]`);
  return { title: `${title}(${shapes.join('; ')})`, run: both(op), reference: both(twin), bound };
}

/** What the reference gives. */
export async function referenceOf({ run, reference }: FuzzCase): Promise<Data[]> {
  return resultsOn('cpu', reference ?? run);
}

/**
 * What one of our backends gives, the active one at the end.
 *
 * @throws Error when it handed a kernel to another.
 */
export async function nativeOf(
  { title, run }: FuzzCase,
  backend: string = backendName,
): Promise<Data[]> {
  await tf.setBackend(backend);
  resetDelegatedKernels();
  const results = await resultsOn(backend, run);
  const delegated = delegatedKernels();
  if (Object.keys(delegated).length > 0) {
    throw new Error(
      `${title}: expected native kernels, got delegated ${JSON.stringify(delegated)}`,
    );
  }
  return results;
}

/** @throws Error unless the results of one of our backends agree with the reference's. */
export async function checkCase(one: FuzzCase, backend: string = backendName): Promise<void> {
  const expected = await referenceOf(one);
  const got = await nativeOf(one, backend);
  if (got.length !== expected.length) {
    throw new Error(`${one.title}: expected ${expected.length} results, got ${got.length}`);
  }
  for (const [i, result] of got.entries()) {
    const problem = difference(result, expected[i]!, one.bound);
    if (problem !== null) throw new Error(`${one.title}, result ${i}: ${problem}`);
  }
}

async function resultsOn(backend: string, run: () => tf.Tensor[]): Promise<Data[]> {
  await tf.setBackend(backend);
  return tf.tidy(() =>
    run().map(({ shape, dtype, dataId }) => ({
      shape,
      dtype: dtype as Data['dtype'],
      values: typed(tf.backend().readSync(dataId) as Values, dtype),
    })),
  );
}

export function upload({ values, shape, dtype }: Data): tf.Tensor {
  return tf.tensor(values, [...shape], dtype);
}

/** tfjs's cpu backend renames some results without converting their values. */
function typed(values: Values, dtype: string): Values {
  if (dtype === 'int32') return Int32Array.from(values);
  return dtype === 'bool' ? Uint8Array.from(values) : Float32Array.from(values);
}

/** What differs, or null. NaN equals NaN, and -0 equals 0. */
function difference(got: Data, expected: Data, { ulp = 0, abs, nmse }: Bound): string | null {
  const kinds = [got, expected].map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`);
  if (kinds[0] !== kinds[1]) return `expected ${kinds[1]}, got ${kinds[0]}`;
  const byElement = nmse === undefined || abs !== undefined;
  let squares = 0;
  for (const [i, value] of expected.values.entries()) {
    const ours = got.values[i] as number;
    if (ours === value || (Number.isNaN(ours) && Number.isNaN(value))) continue;
    const most = Number.isFinite(value) ? Math.max(abs ?? 0, ulp * lastPlace(value)) : 0;
    const error = Math.abs(ours - value);
    if (byElement ? !(error <= most) : !Number.isFinite(error)) {
      return `expected ${value} at ${i}, got ${ours}`;
    }
    if (Number.isFinite(error)) squares += error ** 2;
  }
  if (nmse === undefined) return null;
  let power = 0;
  for (const value of expected.values) if (Number.isFinite(value)) power += value ** 2;
  // All of it nearly 0, as gradients of a constant are: then there is no power to measure against.
  if (squares <= nmse * power || power <= 1e-12 * expected.values.length) return null;
  return `expected a normalized squared error of at most ${nmse}, got ${squares / power}`;
}

/** The distance of a float32 from its neighbour. */
function lastPlace(value: number): number {
  const exponent = Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -126)));
  return 2 ** (Math.max(exponent, -126) - 23);
}

function describe(name: string, inputs: Inputs, attrs: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(inputs).map(([key, { values, shape, dtype }]) => {
    const few = values.length <= 12 ? ` ${[...values].map(String).join(' ')}` : '';
    return `${key}: ${dtype} [${shape.join(', ')}]${few}`;
  });
  return `${name}(${parts.join('; ')}; ${JSON.stringify(attrs)})`;
}
