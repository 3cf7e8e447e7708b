# SPDX-License-Identifier: Apache-2.0
"""Writes fixtures/family/bfloat16.json: what 16-bit matrix products cost each training step of `family_trace.py`.

Both operands of every product of a weight or of attention are rounded to bfloat16, forward and backward; everything
else stays float64. For each case the greatest relative error of a loss, and that of all gradients together in norm:
the worst of eight draws, in which operands move a little before they are rounded, so that chance picks the side.
A model a few numbers wide amplifies rounding, so a test needs to know how much of it is the arithmetic's own.

Versions: Python 3.11, torch 2.13.0 (CPU).
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffmavil_trace import to_double
from family import Family
from family_cases import CASES
from family_trace import gradients, random_inputs, random_model
from torch.overrides import TorchFunctionMode


DRAWS = 8


def rounded(x):
    moved = x * (1 + (torch.rand_like(x) - 0.5) / 512)  # rounding moves by up to 1/256
    return moved.to(torch.bfloat16).to(x.dtype)


class Product(torch.autograd.Function):
    """a [..., M, K] @ b [..., K, N] with operands in bfloat16; b may lack the leading axes."""

    @staticmethod
    def forward(ctx, a, b):
        a, b = rounded(a), rounded(b)
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, gradient):
        (a, b), gradient = ctx.saved_tensors, rounded(gradient)
        to_b = a.transpose(-1, -2) @ gradient
        leading = to_b.dim() - b.dim()
        return gradient @ b.transpose(-1, -2), to_b.sum(dim=tuple(range(leading))) if leading else to_b


class Bfloat16Products(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.linear:
            x, weight, bias = args
            return Product.apply(x, weight.T) + bias
        # the similarities of the contrast, rows by rows, belong to the losses and keep their precision
        if function is torch.Tensor.matmul and args[0].dim() > 2:
            return Product.apply(*args)
        return function(*args, **(kwargs or {}))


def step(name, config, mask_ratio, batch):
    model, _, generator = random_model(name, Family(config))
    inputs = to_double(random_inputs(model, mask_ratio, batch, generator))
    outputs = model.double()(inputs, mask_ratio)
    outputs['loss'].backward()
    losses = {k: v.item() for k, v in outputs.items() if k.startswith('loss')}
    return losses, torch.cat([v.flatten() for v in gradients(model).values()])


def errors(*case):
    (losses, slopes), worst = step(*case), {'loss': 0.0, 'gradients': 0.0}
    for draw in range(DRAWS):
        torch.manual_seed(draw)
        with Bfloat16Products():
            rough_losses, rough_slopes = step(*case)
        loss = max(abs(rough_losses[k] - v) / abs(v) for k, v in losses.items())
        worst['loss'] = max(worst['loss'], loss)
        worst['gradients'] = max(worst['gradients'], ((rough_slopes - slopes).norm() / slopes.norm()).item())
    return worst


if __name__ == '__main__':
    torch.set_num_threads(1)
    costs = {name: errors(name, *case) for name, case in CASES.items()}
    folder = Path(__file__).parent / 'fixtures' / 'family'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'bfloat16.json').write_text(json.dumps(costs, indent=2) + '\n')
