# SPDX-License-Identifier: Apache-2.0
"""Files written by the Python safetensors library, for @diffmavil/model to read and to reproduce.

Versions: Python 3.11, torch 2.13.0 (CPU), safetensors 0.8.0. Run: python conformance/golden/safetensors_interop.py

Writes fixtures/safetensors/
  every-type.safetensors   each type the package reads, a scalar, an empty tensor, a name beyond ASCII, metadata
  layout.safetensors       F32, I32 and I64 only: the package has to write these very bytes for the same tensors
  unknown-type.safetensors a type the package refuses (F64)

    python conformance/golden/safetensors_interop.py --check FILE

reads a file the package wrote for the tensors of layout.safetensors and fails unless every value is equal. (Equal bytes,
which a test of the package asserts, imply it; this is the direct way.)
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).parent / 'fixtures' / 'safetensors'

# Halves and bfloat16s with every kind of bits: zero, subnormal, normal, largest, infinite. All exact in float32.
HALVES = [0.0, -0.0, 2.0**-24, -(2.0**-14), 1.0, -1.5, 0.333251953125, 65504.0, float('inf'), float('-inf')]
BFLOATS = [0.0, -0.0, 2.0**-133, 1.0, -1.5, 3.140625, 3.3895313892515355e38, float('inf'), float('-inf')]

EVERY_TYPE = {
    'weights.f32': torch.tensor([[1.5, -2.25, 3.0], [2.0**-149, 3.4028234663852886e38, -0.0]]),
    'weights.f16': torch.tensor(HALVES, dtype=torch.float16),
    'weights.bf16': torch.tensor(BFLOATS, dtype=torch.bfloat16),
    'indices.i32': torch.tensor([[0, -1], [2147483647, -2147483648]], dtype=torch.int32),
    'indices.i64': torch.tensor([0, -1, 9007199254740993], dtype=torch.int64),
    'scalar': torch.tensor(0.1),
    'empty': torch.zeros(0, 3),
    'größe.重み': torch.tensor([7.0]),
}

LAYOUT = {
    'b.weight': torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7,
    'a.order': torch.tensor([[2, 0, 1]], dtype=torch.int32),
    'a.bias': torch.tensor([0.5]),
    'step': torch.tensor(1234567890123, dtype=torch.int64),
    'Z': torch.tensor([-1.0, 1.0]),
    'é': torch.tensor([1], dtype=torch.int32),
}


def write():
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(EVERY_TYPE, FOLDER / 'every-type.safetensors', metadata={'format': 'pt'})
    save_file(LAYOUT, FOLDER / 'layout.safetensors', metadata={'format': 'pt'})
    save_file({'x': torch.tensor([1.0], dtype=torch.float64)}, FOLDER / 'unknown-type.safetensors')


def check(path):
    read = load_file(path)
    assert sorted(read) == sorted(LAYOUT), sorted(read)
    for name, expected in LAYOUT.items():
        actual = read[name]
        assert actual.dtype == expected.dtype and actual.shape == expected.shape, name
        assert torch.equal(actual, expected), name
    with safe_open(path, framework='pt') as opened:
        assert opened.metadata() == {'format': 'pt'}, opened.metadata()
    print(f'{path}: {len(read)} tensors equal')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--check']:
        check(sys.argv[2])
    else:
        write()
