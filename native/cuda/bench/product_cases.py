# SPDX-License-Identifier: Apache-2.0
"""Linear maps with what follows them, and plain products of float32.

Legend: R rows, K width in, C width out, B batch.
"""

import torch
import torch.nn.functional as F

from case import Case, compiled, empty, random, size


def linear(g, rows, width, out, gelu, precision):
    half = precision == 'bfloat16'
    x, w, b, dy = random(g, rows, width), random(g, out, width, scale=width**-0.5), random(g, out), random(g, rows, out)
    before64 = F.linear(x.double(), w.double(), b.double())
    stored = torch.bfloat16 if half else torch.float32
    y, saved = empty(g, rows, out), [empty(g, rows, out, dtype=stored)] if gelu else []
    saved_in = [before64.to(stored)] if gelu else []
    dw, db, dx = empty(g, out, width), empty(g, out), empty(g, rows, width)

    def apply(x, w, b):
        made = F.linear(x, w, b)
        return F.gelu(made) if gelu else made

    def backward():
        leaves = [t.double().requires_grad_() for t in (w, b, x)]
        apply(leaves[2], leaves[0], leaves[1]).backward(dy.double())
        return [t.grad for t in leaves]

    def forward_peer():
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            return apply(x, w, b)

    leaves = [t.clone().requires_grad_() for t in (w, b, x)]

    def both():
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            made = apply(leaves[2], leaves[0], leaves[1])
        return torch.autograd.grad(made, leaves, dy.to(made.dtype))

    name = f'linear {rows} x {width} to {out}{", GELU" if gelu else ""}, {precision}'
    numbers = [rows, width, out, 1, int(gelu), int(half)]
    bound, flops = 1e-2 if half else 1e-5, 2 * rows * width * out
    return [
        Case(name, 'DmLinear', [x, w, b], [y, *saved], numbers, lambda: [F.gelu(before64) if gelu else before64, *[None] * len(saved)],
             bound, flops=flops, bytes=size(x, w, y), precision=precision, peers={'eager': forward_peer, **compiled(forward_peer, g.place)}),
        Case(f'{name} gradient', 'DmLinearGrad', [dy, x, w, *saved_in], [dw, db, dx], [*numbers, 1], backward, bound, flops=2 * flops,
             bytes=size(dy, x, w, dw, dx), precision=precision, peers={'eager, forward too': both}),
    ]  # fmt: skip


def matmul(g, batch, m, k, n):
    a, b, c = random(g, batch, m, k), random(g, batch, k, n), empty(g, batch, m, n)
    return [
        Case(f'product {batch} x {m} x {k} x {n}', 'BatchMatMul', [a, b], [c], [m, k, n, 0, 0, 0, 1, batch, batch],
             lambda: [a.double() @ b.double()], 1e-5, flops=2 * batch * m * k * n, bytes=size(a, b, c), peers={'eager': lambda: a @ b}),
    ]  # fmt: skip
