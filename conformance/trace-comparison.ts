// SPDX-License-Identifier: Apache-2.0
// Runs a parity case through `traceStep` and measures how far each result is from PyTorch's.
import { readdirSync } from 'node:fs';
import {
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
  readonly maskRatio: number;
  readonly tensors: Readonly<Record<string, SafeTensor>>;
  readonly expected: Fixture;
}

/** Another folder may hold larger cases: see golden/README.md. */
const folder =
  process.env['DIFFMAVIL_TRACE_FOLDER'] ??
  new URL('golden/fixtures/diffmavil', import.meta.url).pathname;

export const caseNames: readonly string[] = readdirSync(folder)
  .flatMap((file) => /^trace-(.*)\.config\.json$/.exec(file)?.[1] ?? [])
  .toSorted();

export function readCase(name: string): TraceCase {
  const at = `${folder}/trace-${name}`;
  const { maskRatio, ...config } = readJsonFixture(`${at}.config.json`) as PartialModelConfig & {
    readonly maskRatio: number;
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

/** Bounds of design §9: losses 1e-5, gradients 1e-4; embeddings and predictions as losses. */
function boundOf(name: string): number {
  return name.startsWith('grad.') ? 1e-4 : 1e-5;
}

export async function runCase(
  { config, maskRatio, tensors, expected }: TraceCase,
  precision: 'float32' | 'bfloat16' = 'float32',
): Promise<Row[]> {
  const results = await traceStep({ config, tensors, maskRatio, precision });
  const unexpected = Object.keys(results).filter((name) => !expected.names.includes(name));
  return [
    ...expected.names.map((name) => ({
      name,
      error: relativeError(results[name], expected.get(name)),
      bound: boundOf(name),
    })),
    ...unexpected.map((name) => ({ name, error: Infinity, bound: 0 })),
  ];
}

export function relativeError(
  actual: TracedTensor | undefined,
  expected: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
): number {
  if (actual === undefined || actual.shape.join() !== expected.shape.join()) return Infinity;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.data.length; i++) {
    const wanted = expected.data[i] ?? Number.NaN;
    difference += ((actual.data[i] ?? Number.NaN) - wanted) ** 2;
    norm += wanted ** 2;
  }
  return Math.sqrt(difference / norm);
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
