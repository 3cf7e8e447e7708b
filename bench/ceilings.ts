// SPDX-License-Identifier: Apache-2.0
// The most this machine can do, measured by a C++ program built for it: the yardstick of every share of peak.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.ts';

/** Measured with `threads` threads; 1 GFLOP = 10^9 additions or multiplications. */
export interface Ceilings {
  readonly threads: number;
  /** Fused multiply-adds from registers. */
  readonly float32GflopPerS: number;
  /** Dot products of bfloat16 pairs (AVX512-BF16); null where the compiler's target has none. Matrix units (AMX) are not used. */
  readonly bfloat16GflopPerS: number | null;
  /** STREAM triad, from memory. */
  readonly triadGBPerS: number;
}

/** Work of an op. */
export interface Cost {
  readonly flops: number;
  /** Read and written at least once. */
  readonly bytes: number;
}

/** Measures, about two seconds; null without a C++ compiler (`CXX`, default g++). */
export function measureCeilings(threads: number): Ceilings | null {
  const source = join(root, 'bench/peers/ceilings.cc');
  const program = join(root, '.cache/bench/ceilings');
  try {
    if (!existsSync(program) || statSync(program).mtimeMs < statSync(source).mtimeMs) {
      mkdirSync(join(root, '.cache/bench'), { recursive: true });
      const flags = ['-O3', '-march=native', '-std=c++20', '-pthread'];
      execFileSync(process.env['CXX'] ?? 'g++', [...flags, source, '-o', program]);
    }
    return JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' })) as Ceilings;
  } catch (error) {
    process.stderr.write(`bench: no ceilings: ${(error as Error).message.split('\n')[0]}\n`);
    return null;
  }
}

/** The bandwidth of memory now, GB/s: it drifts with what else the machine does. After `measureCeilings`. */
export function measureTriad(threads: number): number {
  const args = [String(threads), 'triad'];
  return Number(execFileSync(join(root, '.cache/bench/ceilings'), args, { encoding: 'utf8' }));
}

/** GFLOP/s a dtype can reach. */
export function peakOf(ceilings: Ceilings | null, dtype: string): number | null {
  if (ceilings === null) return null;
  return dtype === 'bfloat16' && ceilings.bfloat16GflopPerS !== null
    ? ceilings.bfloat16GflopPerS
    : ceilings.float32GflopPerS;
}

/** The time no program on this machine can beat: arithmetic at peak or memory at bandwidth, whichever takes longer. */
export function floorMs(
  { flops, bytes }: Cost,
  ceilings: Ceilings | null,
  dtype: string,
): number | null {
  const peak = peakOf(ceilings, dtype);
  if (ceilings === null || peak === null) return null;
  return Math.max(flops / peak, bytes / ceilings.triadGBPerS) / 1e6;
}
