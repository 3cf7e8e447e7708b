# SPDX-License-Identifier: Apache-2.0
"""Attention alone, in bfloat16, beside each way PyTorch has; and in shifted windows, as users compose it.

Legend: B batch, T tokens (queries), S keys, C width, H heads, D head width.
"""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from case import Case, compiled, empty, random, size

BACKENDS = {
    'cuDNN': SDPBackend.CUDNN_ATTENTION,
    'FlashAttention-2': SDPBackend.FLASH_ATTENTION,
    'memory-efficient': SDPBackend.EFFICIENT_ATTENTION,
    'math': SDPBackend.MATH,
}


def _heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(x):
    return x.transpose(1, 2).flatten(2)


def _parts(own, context, dtype):
    own = own.to(dtype)
    return own.chunk(3, -1) if context is None else (own, *context.to(dtype).chunk(2, -1))


def _gradients(attend, leaves, dy):
    """A call that computes the gradients of attend(leaves) alone: the forward pass is kept."""
    made = attend(*leaves)
    return lambda: torch.autograd.grad(made, leaves, dy, retain_graph=True)


def _cases(name, g, own, context, table, numbers, attend, peers, flops, log_sums):
    """attend(own, context, table) -> y of their type. peers(gradient) -> PyTorch's ways, forward or backward."""
    width = own.shape[-1] // (3 if context is None else 1)
    half = torch.bfloat16
    y, sums = empty(g, *own.shape[:-1], width, dtype=half), empty(g, log_sums)
    dy = random(g, *own.shape[:-1], width).to(half)
    given = [t for t in (own, context, table) if t is not None]
    fresh = [None if t is None else torch.full_like(t, float('nan')) for t in (own, context, table)]

    def doubles():
        return [None if t is None else t.double().requires_grad_() for t in (own, context, table)]

    def backward():
        leaves = doubles()
        attend(*leaves).backward(dy.double())
        return [t.grad for t in leaves if t is not None]

    # What the gradient op is given: by definition, not by our forward pass.
    y_in = attend(own.double(), *[None if t is None else t.double() for t in (context, table)]).to(half)
    sums_in = attend.log_sums().float().contiguous()
    outputs = [t for t in fresh if t is not None]
    return [
        Case(name, 'DmPackedAttention', [own, context, table, y, sums], [y], numbers,
             lambda: [attend(*[t if t is None else t.detach() for t in doubles()])], 5e-3, flops=flops,
             bytes=size(*given, y), precision='bfloat16', peers=peers(None), buffers=[own, context, table, y, sums]),
        Case(f'{name} gradient', 'DmPackedAttentionGrad', [dy, *given, y_in, sums_in], outputs, numbers, backward, 8e-3,
             flops=2.5 * flops, bytes=size(*given, *given, y, dy), precision='bfloat16', peers=peers(dy),
             buffers=[dy, own, context, table, y_in, sums_in, *fresh]),
    ]  # fmt: skip


class _Plain:
    def __init__(self, heads):
        self.heads = heads

    def __call__(self, own, context, table):
        q, k, v = [_heads(p, self.heads) for p in _parts(own, context, own.dtype)]
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        self.scores = scores.detach()
        return _joined(scores.softmax(-1) @ v)

    def log_sums(self):
        return self.scores.logsumexp(-1) / torch.log(torch.tensor(2.0, dtype=torch.float64))


def attention(g, batch, queries, keys, width, heads):
    cross = queries != keys
    half = torch.bfloat16
    own = random(g, batch, queries, width * (1 if cross else 3)).to(half)
    context = random(g, batch, keys, 2 * width).to(half) if cross else None

    def peers(dy):
        leaves = [t.detach().clone().requires_grad_() for t in (own, context) if t is not None]

        def attend(a, b=None):
            q, k, v = [_heads(p, heads) for p in _parts(a, b, half)]
            return _joined(F.scaled_dot_product_attention(q, k, v))

        def by(backend):
            if dy is None:
                def forward():
                    with torch.no_grad(), sdpa_kernel(backend):
                        return attend(*leaves)
                return forward
            # The graph is made when it is first needed, so that a way which is not there costs nothing but itself.
            kept = []

            def backward():
                if not kept:
                    with sdpa_kernel(backend):
                        kept.append(_gradients(attend, leaves, dy))
                return kept[0]()
            return backward

        def default():
            with torch.no_grad():
                return attend(*leaves)

        ways = {'default': default if dy is None else _gradients(attend, leaves, dy)}
        return ways | {name: by(backend) for name, backend in BACKENDS.items()}

    name = f'attention {batch} x {queries}{f" to {keys}" if cross else ""} x {width}, {heads} heads, bfloat16'
    numbers = [batch, queries, keys, width, heads, int(cross), 0, 0, 0, 0, 0, 0, 0]
    return _cases(name, g, own, context, None, numbers, _Plain(heads), peers, 4 * batch * queries * keys * width, batch * heads * queries)


class _Windows:
    """Windows [4, 4] of a grid [rows, columns], rolled by `shift`, with a bias for each offset: roll, cut, attend, join, roll back."""

    SIDE = 4

    def __init__(self, rows, columns, heads, shift, place):
        self.rows, self.columns, self.heads, self.shift = rows, columns, heads, shift
        side = self.SIDE
        at = torch.arange(side * side)
        down, right = at[:, None] // side - at[None] // side, at[:, None] % side - at[None] % side
        self.index = ((down + side - 1) * (2 * side - 1) + right + side - 1).to(place)

        def band(length):
            i = torch.arange(length)
            return torch.zeros(length) if shift == 0 else (i >= length - side).long() + (i >= length - shift).long()

        regions = self.cut((3 * band(rows)[:, None] + band(columns)[None]).flatten()[None, :, None])[:, :, 0]
        self.mask = torch.where(regions[:, :, None] == regions[:, None], 0.0, -100.0).to(place)

    def cut(self, x):
        """[B, T, C] -> [B windows, 16, C]."""
        grid = x.unflatten(1, (self.rows // self.SIDE, self.SIDE, self.columns // self.SIDE, self.SIDE))
        return grid.transpose(2, 3).flatten(0, 2).flatten(1, 2)

    def join(self, x, batch):
        grid = x.unflatten(0, (batch, self.rows // self.SIDE, self.columns // self.SIDE)).unflatten(3, (self.SIDE, self.SIDE))
        return grid.transpose(2, 3).flatten(1, 4)

    def roll(self, x, by):
        if self.shift == 0:
            return x
        return x.unflatten(1, (self.rows, self.columns)).roll((by, by), (1, 2)).flatten(1, 2)

    def biases(self, table, batch):
        """[B windows, H, 16, 16]."""
        bias = table[self.index].permute(2, 0, 1)[None]
        return (bias + self.mask[:, None].to(table.dtype)).repeat(batch, 1, 1, 1)

    def __call__(self, own, context, table):
        batch = own.shape[0]
        q, k, v = [_heads(p, self.heads) for p in self.cut(self.roll(own, -self.shift)).chunk(3, -1)]
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + self.biases(table, batch)
        self.scores = scores.detach()
        return self.roll(self.join(_joined(scores.softmax(-1) @ v), batch), self.shift)

    def attend(self, own, table):
        """The same as a user writes it."""
        batch = own.shape[0]
        q, k, v = [_heads(p, self.heads) for p in self.cut(self.roll(own, -self.shift)).chunk(3, -1)]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.biases(table, batch).to(q.dtype))
        return self.roll(self.join(_joined(y), batch), self.shift)

    def log_sums(self):
        return self.scores.logsumexp(-1) / torch.log(torch.tensor(2.0, dtype=torch.float64))


def window_attention(g, batch, rows, columns, width, heads, shift):
    half = torch.bfloat16
    windows = _Windows(rows, columns, heads, shift, g.place)
    own, table = random(g, batch, rows * columns, 3 * width).to(half), random(g, 49, heads)

    def peers(dy):
        leaves = [own.detach().clone().requires_grad_(), table.detach().clone().requires_grad_()]
        ways = {'eager': windows.attend, **compiled(windows.attend, g.place)}
        if dy is not None:
            return {f'{name}, forward too': lambda way=way: torch.autograd.grad(way(*leaves), leaves, dy) for name, way in ways.items()}

        def forward(way):
            with torch.no_grad():
                return way(*leaves)

        return {name: lambda way=way: forward(way) for name, way in ways.items()}

    tokens = rows * columns
    name = f'window attention {batch} x {rows} x {columns} x {width}, {heads} heads, shift {shift}, bfloat16'
    numbers = [batch, tokens, tokens, width, heads, 0, 1, rows, columns, 4, 4, shift, shift]
    return _cases(name, g, own, None, table, numbers, windows, peers, 4 * batch * tokens * 16 * width, batch * heads * tokens)
