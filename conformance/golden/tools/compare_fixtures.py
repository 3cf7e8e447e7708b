# SPDX-License-Identifier: Apache-2.0
"""Compares rebuilt fixtures with the committed ones: same files, same names and shapes, close numbers.

    python compare_fixtures.py COMMITTED REBUILT

Integers, strings and structure must be equal. Floats: the norm of the difference of a tensor, or a JSON number,
within 1e-6 relative (another libm or thread count moves the last bits of float32, not more). Exits 1 with a line
for each file that differs.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load

TOLERANCE = 1e-6


def compare_json(old, new, where):
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return [fault for key in old for fault in compare_json(old[key], new[key], f'{where}.{key}')]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [fault for i, (a, b) in enumerate(zip(old, new)) for fault in compare_json(a, b, f'{where}[{i}]')]
    if isinstance(old, float) and isinstance(new, float):
        return [] if math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=1e-30) else [f'{where}: {old} became {new}']
    return [] if old == new else [f'{where}: {old} became {new}']


def compare_tensors(old, new):
    if old.keys() != new.keys():
        return [f'names changed: {sorted(old.keys() ^ new.keys())}']
    faults = []
    for name, a in old.items():
        b = new[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            faults.append(f'{name}: {a.dtype}{a.shape} became {b.dtype}{b.shape}')
        elif not np.issubdtype(a.dtype, np.floating):
            if not np.array_equal(a, b):
                faults.append(f'{name}: integers changed')
        else:
            a, b = a.astype(np.float64), b.astype(np.float64)
            error, norm = np.linalg.norm(a - b), np.linalg.norm(a)
            if not error <= TOLERANCE * norm:
                faults.append(f'{name}: relative error {error / max(norm, 1e-300):.2e}')
    return faults


def compare_file(old, new):
    if old.read_bytes() == new.read_bytes():
        return []
    if old.suffix == '.json':
        return compare_json(json.loads(old.read_text()), json.loads(new.read_text()), old.stem)
    if old.suffix == '.safetensors':
        return compare_tensors(load(old.read_bytes()), load(new.read_bytes()))
    return ['bytes changed']


def main(committed, rebuilt):
    def files(root):
        return {p.relative_to(root) for p in root.rglob('*') if p.is_file()}

    names = files(committed)
    faults = [f'{name}: only on one side' for name in sorted(names ^ files(rebuilt))]
    identical = 0
    for name in sorted(names & files(rebuilt)):
        identical += (committed / name).read_bytes() == (rebuilt / name).read_bytes()
        faults += [f'{name}: {fault}' for fault in compare_file(committed / name, rebuilt / name)]
    print('\n'.join(faults) if faults else f'{len(names)} fixtures rebuilt: {identical} byte for byte, {len(names) - identical} within tolerance')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
