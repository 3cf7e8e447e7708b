// SPDX-License-Identifier: Apache-2.0
// Our matrix products beside oneDNN's, at the shapes of the preset `base` with two clips: peers/products.cc, built where libdnnl-dev and
// our own native/build are.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BenchError } from './bench-error.ts';
import { root } from './machine.ts';
import { figure, markdownTable, percent } from './report.ts';
import { median } from './rounds.ts';

/** Milliseconds by round. `plain`: oneDNN on operands as they lie in memory, as ours; `best`: in layouts of its own choice, which
 * takes a rearrangement that is not timed. */
interface Product {
  readonly layout: 'NN' | 'NT' | 'TN';
  readonly type: 'float32' | 'bfloat16';
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** Largest difference of the results, over the largest value. */
  readonly difference: number;
  readonly oursMs: readonly number[];
  readonly plainMs: readonly number[];
  readonly bestMs: readonly number[];
}

export interface ProductsResult {
  /** Version. */
  readonly oneDNN: string;
  readonly products: readonly Product[];
}

export interface ProductsOptions {
  readonly threads: number;
  readonly rounds: number;
}

/** Builds and runs the program. Throws BenchError without oneDNN or native/build, or where results differ. */
export async function benchProducts({ threads, rounds }: ProductsOptions): Promise<ProductsResult> {
  const library = join(root, 'native/build/libdm.a');
  if (!existsSync(library)) {
    throw new BenchError(
      'bench: expected native/build/libdm.a, got none. Try: npm run build:native',
    );
  }
  const program = join(root, '.cache/bench/products');
  const includes = ['-I', join(root, 'native'), '-I', join(root, 'native/include')];
  const source = join(root, 'bench/peers/products.cc');
  try {
    const inputs = [...includes, source, library, '-ldnnl', '-pthread', '-o', program];
    execFileSync(process.env['CXX'] ?? 'g++', ['-O2', '-std=c++20', ...inputs], { stdio: 'pipe' });
  } catch (error) {
    const [line] = String((error as { readonly stderr?: unknown }).stderr ?? error).split('\n');
    throw new BenchError(
      `bench: expected peers/products.cc to compile, got '${line}'. Try: apt-get install libdnnl-dev`,
    );
  }
  // Sleeping threads leave the processors to the other side.
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), OMP_WAIT_POLICY: 'passive' };
  const { stdout } = await promisify(execFile)(program, [String(threads), String(rounds)], { env });
  const result = JSON.parse(stdout) as ProductsResult;
  for (const { type, layout, m, k, n, difference } of result.products) {
    const tolerance = type === 'bfloat16' ? 1e-2 : 1e-5;
    if (!(difference <= tolerance)) {
      throw new BenchError(
        `bench: expected the product ${layout} ${m} x ${k} x ${n} in ${type} of both within ${tolerance}, got ${difference} apart`,
      );
    }
  }
  return result;
}

/** The table as Markdown: GFLOP/s, and our speed over theirs, medians within a round. */
export function productsTable({ products }: ProductsResult): string {
  const head = ['type', 'layout', 'm x k x n', 'ours', 'plain', 'best', 'of plain', 'of best'];
  const rows = products.map(({ type, layout, m, k, n, oursMs, plainMs, bestMs }) => {
    const rate = (ms: readonly number[]): string => figure((2 * m * k * n) / median(ms) / 1e6);
    const share = (ms: readonly number[]): string =>
      percent(median(ms.map((theirs, i) => theirs / oursMs[i]!)));
    const rates = [oursMs, plainMs, bestMs].map(rate);
    return [type, layout, `${m} x ${k} x ${n}`, ...rates, share(plainMs), share(bestMs)];
  });
  return markdownTable(head, rows, 3);
}
