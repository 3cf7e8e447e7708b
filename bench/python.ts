// SPDX-License-Identifier: Apache-2.0
// The Python interpreter of the PyTorch side: DIFFMAVIL_BENCH_PYTHON, else a virtual environment below .cache/bench made with PYTHON
// (default python3) and bench/peers/requirements.txt.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './machine.ts';

/** An interpreter that has the requirements; the first call downloads them. */
export function benchPython(): string {
  const given = process.env['DIFFMAVIL_BENCH_PYTHON'];
  if (given !== undefined && given !== '') return given;
  const venv = join(root, '.cache/bench/venv');
  const python = join(venv, 'bin/python');
  const requirements = join(root, 'bench/peers/requirements.txt');
  const stamp = join(venv, 'installed.txt');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python;
  const options = { stdio: ['ignore', 2, 2] as ['ignore', number, number] };
  execFileSync(process.env['PYTHON'] ?? 'python3', ['-m', 'venv', '--clear', venv], options);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  execFileSync(python, [...pip, '-r', requirements], options);
  writeFileSync(stamp, wanted);
  return python;
}
