// SPDX-License-Identifier: Apache-2.0
// Runs a parity case through `traceStep` and measures how far each result is from PyTorch's.
import { readdirSync } from 'node:fs';
import {
  type MaskRatios,
  type ModelConfig,
  type PartialModelConfig,
  type SafeTensor,
  defineModel,
} from '@diffmavil/model';
import { type Fixture, readFixture, readJsonFixture } from '@diffmavil/testkit';
import { type TracedTensor, traceStep } from '@diffmavil/trainer';

export interface TraceCase {
  readonly name: string;
  readonly config: ModelConfig;
  readonly maskRatio: MaskRatios;
  readonly tensors: Readonly<Record<string, SafeTensor>>;
  readonly expected: Fixture;
}

const goldens = new URL('golden/fixtures/', import.meta.url).pathname;
export const familyFolder: string = `${goldens}family`;
/** Another folder may hold larger cases: see golden/README.md. */
const folder = process.env['DIFFMAVIL_TRACE_FOLDER'] ?? `${goldens}diffmavil`;

/** Names of the cases of one kind in a folder: `<kind>-<name>.config.json`. */
export function namesIn(path: string, kind: 'trace' | 'teacher' | 'classifier'): string[] {
  const pattern = new RegExp(`^${kind}-(.*)\\.config\\.json$`);
  return readdirSync(path)
    .flatMap((file) => pattern.exec(file)?.[1] ?? [])
    .toSorted();
}

/** The paper's model and those it grows from. */
export const caseNames: readonly string[] = namesIn(folder, 'trace');
/** Every variant of the family. */
export const familyNames: readonly string[] = namesIn(familyFolder, 'trace');

export function readCase(name: string): TraceCase {
  const at = `${familyNames.includes(name) ? familyFolder : folder}/trace-${name}`;
  const { maskRatio, ...config } = readJsonFixture(`${at}.config.json`) as PartialModelConfig & {
    readonly maskRatio: MaskRatios;
  };
  return {
    name,
    config: defineModel(config),
    maskRatio,
    tensors: tensorsOf(readFixture(`${at}.in.safetensors`)),
    expected: readFixture(`${at}.out.safetensors`),
  };
}

export function tensorsOf(fixture: Fixture): Record<string, SafeTensor> {
  return Object.fromEntries(fixture.names.map((name) => [name, fixture.get(name) as SafeTensor]));
}

export interface Row {
  readonly name: string;
  /** Norm of the difference over the norm of what was expected; infinite when shapes differ or the result is missing. */
  readonly error: number;
  readonly bound: number;
}

/** Losses 1e-5, gradients 1e-4; embeddings, predictions, features and logits as losses. */
export function boundOf(name: string): number {
  return name.startsWith('grad.') ? 1e-4 : 1e-5;
}

export async function runCase(
  { config, maskRatio, tensors, expected }: TraceCase,
  precision: 'float32' | 'bfloat16' = 'float32',
): Promise<Row[]> {
  return compare(await traceStep({ config, tensors, maskRatio, precision }), expected);
}

/** One row for each result expected, and a bad one for each that was not. */
export function compare(results: Readonly<Record<string, TracedTensor>>, expected: Fixture): Row[] {
  const unexpected = Object.keys(results).filter((name) => !expected.names.includes(name));
  return [
    ...expected.names.map((name) => ({
      name,
      error: relativeError(results[name], expected.get(name), scaleOf(name, expected)),
      bound: boundOf(name),
    })),
    ...unexpected.map((name) => ({ name, error: Infinity, bound: 0 })),
  ];
}

/** Softmax does not feel a bias that all keys share: its gradient is 0, and is measured by that of the weight beside it. */
function scaleOf(name: string, expected: Fixture): ArrayLike<number> {
  const beside = name.replace(/(bias_mlp\.fc2)\.bias$/, '$1.weight');
  return expected.get(beside).data;
}

/** Norm of the difference over the norm of `scale`, which is `expected` if not given. */
export function relativeError(
  actual: TracedTensor | undefined,
  expected: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  scale: ArrayLike<number> = expected.data,
): number {
  if (actual === undefined || actual.shape.join() !== expected.shape.join()) return Infinity;
  const squares = (x: ArrayLike<number>): number =>
    Array.from(x).reduce((sum, value) => sum + value ** 2, 0);
  const difference = Array.from(expected.data, (wanted, i) => (actual.data[i] ?? NaN) - wanted);
  return Math.sqrt(squares(difference) / squares(scale));
}

/** Rows outside their bound; NaN is outside. */
export function failures(rows: readonly Row[]): Row[] {
  return rows.filter(({ error, bound }) => !(error <= bound));
}

/** Worst first: error over bound, error, bound, name. */
export function table(rows: readonly Row[]): string {
  const badness = ({ error, bound }: Row): number =>
    Number.isNaN(error) ? Infinity : error / bound;
  const lines = rows
    .toSorted((a, b) => badness(b) - badness(a))
    .map(
      ({ name, error, bound }) =>
        `${error <= bound ? '   ' : 'BAD'} ${error.toExponential(2).padStart(9)}  ${bound.toExponential(0)}  ${name}`,
    );
  return ['     error  bound  result', ...lines].join('\n');
}

/** Empty when every row is within its bound, else the whole table. */
export function report(rows: readonly Row[]): string {
  return failures(rows).length === 0 ? '' : table(rows);
}
