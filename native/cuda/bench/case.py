# SPDX-License-Identifier: Apache-2.0
"""What every file of cases is made of."""

from dataclasses import dataclass, field
from typing import Callable

import torch

EPSILON = 1e-6


@dataclass
class Case:
    name: str
    op: str
    inputs: list  # tensors or None, in the op's order
    outputs: list  # tensors the op writes
    numbers: list
    reference: Callable  # () -> float64 tensors, one for each output that is compared (None: not compared)
    bound: float  # relative Frobenius error
    flops: float = 0
    bytes: float = 0
    precision: str = 'float32'
    peers: dict = field(default_factory=dict)  # name -> callable
    module: object = None  # PyTorch's, of a large op
    calls: list = field(default_factory=list)  # (op, buffers, numbers) in order, where it is more than one op
    forward: 'Case | None' = None  # of a gradient whose peers do the forward pass too: what comes before it
    buffers: list | None = None  # the op's, where they are not inputs and then outputs


@dataclass
class Source:
    """Where random tensors come from and go to."""

    generator: torch.Generator
    place: str


def random(source, *shape, scale=1.0):
    return (torch.randn(*shape, generator=source.generator) * scale).to(source.place)


def empty(source, *shape, dtype=torch.float32):
    return torch.full(shape, float('nan'), dtype=dtype, device=source.place)


def size(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def compiled(function, place):
    """What torch.compile makes of it, by name, for the peers of a case; nothing where there is no GPU to compile for."""
    return {} if place == 'cpu' else {'compiled': torch.compile(function, dynamic=False, mode='max-autotune-no-cudagraphs')}
