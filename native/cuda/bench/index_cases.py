# SPDX-License-Identifier: Apache-2.0
"""Sums by index and the largest of rows, as programs bring them that were written for other backends: tables of many rows, long rows, large k.

Legend: R rows, C width.
"""

import torch

from case import Case, empty, random, size


def _deterministic(call):
    """The call as PyTorch makes it when it may not use what gives other bits each time."""

    def run():
        torch.use_deterministic_algorithms(True)
        try:
            return call()
        finally:
            torch.use_deterministic_algorithms(False)

    return run


def embedding_gradient(g, rows, tokens, width, alike=False):
    """The gradient of a table [rows, width] that `tokens` tokens were looked up in; `alike`: all of them in one row."""
    dy = random(g, tokens, width)
    index = torch.full((tokens,), rows - 1) if alike else torch.randint(0, rows, (tokens,), generator=g.generator)
    index = index.int().to(g.place)
    index64 = index.long()
    table = empty(g, rows, width)
    summed = lambda d: torch.zeros(rows, width, dtype=d.dtype, device=g.place).index_add_(0, index64, d)  # noqa: E731
    backward = lambda: torch.ops.aten.embedding_dense_backward(dy, index64, rows, -1, False)  # noqa: E731
    return [
        Case(f'gradient of a table {rows} x {width}, {tokens} tokens{" of one row" if alike else ""}', 'DmGatherV2Grad', [dy, index], [table],
             [1, 1, rows, tokens, width], lambda: [summed(dy.double())], 1e-6, bytes=size(dy, index, table),
             peers={'embedding, eager': backward, 'embedding, deterministic': _deterministic(backward),
                    'index_add_, deterministic': _deterministic(lambda: summed(dy))}),
    ]  # fmt: skip


def scatter_add(g, places, count):
    """`count` numbers added up at `places` places."""
    x = random(g, count)
    index = torch.randint(0, places, (count,), generator=g.generator).int().to(g.place)
    index64 = index.long()
    y = empty(g, places)
    summed = lambda d: torch.zeros(places, dtype=d.dtype, device=g.place).index_add_(0, index64, d)  # noqa: E731
    return [
        Case(f'scatter {count} numbers to {places}', 'ScatterNd', [index, x], [y], [0, count, 1, 1, places, 1],
             lambda: [summed(x.double())], 1e-6, bytes=size(x, index, y),
             peers={'index_add_, atomic': lambda: summed(x), 'index_add_, deterministic': _deterministic(lambda: summed(x))}),
    ]  # fmt: skip


def top_k(g, rows, width, k):
    """Sorted, of equal ones the first: PyTorch promises that of a stable sort, not of topk."""
    x = random(g, rows, width)
    values = empty(g, rows, k)
    indices = torch.full((rows, k), -1, dtype=torch.int32, device=g.place)

    def reference():
        sorted_rows = torch.sort(x, dim=-1, descending=True, stable=True)
        return [sorted_rows.values[:, :k].double(), sorted_rows.indices[:, :k].double()]

    return [
        Case(f'top {k} of {rows} x {width}', 'TopK', [x], [values, indices], [0, rows, width, k], reference, 0.0, bytes=size(x, values, indices),
             peers={'topk': lambda: torch.topk(x, k), 'stable sort': lambda: torch.sort(x, dim=-1, descending=True, stable=True)}),
    ]  # fmt: skip
