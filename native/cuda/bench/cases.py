# SPDX-License-Identifier: Apache-2.0
"""What is checked and timed: our op, the same in float64, and the PyTorch paths a user would write instead.

Legend: B batch, T tokens, S context tokens, C width, H heads, R rows. Shapes are those of a ViT-B step (docs/cuda.md); `small` ones run on
the emulator.
"""

import math
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F

from attention_cases import attention, window_attention
from case import EPSILON, Case, Source, compiled, empty as _empty, random as _random, size as _size
from index_cases import embedding_gradient, scatter_add, top_k
from product_cases import linear, matmul


def layer_norm(g, rows, width):
    x, w, b, dy = _random(g, rows, width), _random(g, width), _random(g, width), _random(g, rows, width)
    y, mean, rstd = _empty(g, rows, width), _empty(g, rows), _empty(g, rows)
    dx, dw, db = _empty(g, rows, width), _empty(g, width), _empty(g, width)

    def forward():
        return [F.layer_norm(x.double(), (width,), w.double(), b.double(), EPSILON), None, None]

    def backward():
        given = [t.double().requires_grad_() for t in (x, w, b)]
        F.layer_norm(given[0], (width,), given[1], given[2], EPSILON).backward(dy.double())
        return [t.grad for t in given]

    leaves = [t.clone().requires_grad_() for t in (x, w, b)]
    made = F.layer_norm(leaves[0], (width,), leaves[1], leaves[2], EPSILON)
    # What stands before a norm in a block: our projections add it, PyTorch adds it here.
    add = lambda: F.layer_norm(x + dy, (width,), w, b, EPSILON)  # noqa: E731
    after_sum = {'residual added, eager': add, **{f'residual added, {n}': f for n, f in compiled(add, g.place).items()}}
    exact = x.double()
    mean64 = exact.mean(-1)
    mean_in, rstd_in = mean64.float(), (exact.var(-1, unbiased=False) + EPSILON).rsqrt().float()
    return [
        Case(f'layer norm {rows} x {width}', 'DmLayerNorm', [x, w, b], [y, mean, rstd], [rows, width, EPSILON], forward, 1e-6,
             bytes=_size(x, y), peers={'eager': lambda: F.layer_norm(x, (width,), w, b, EPSILON), **after_sum}),
        Case(f'layer norm gradient {rows} x {width}', 'DmLayerNormGrad', [dy, x, w, mean_in, rstd_in], [dx, dw, db], [rows, width], backward, 1e-5,
             bytes=_size(dy, x, dx), peers={'eager': lambda: torch.autograd.grad(made, leaves, dy, retain_graph=True)}),
    ]  # fmt: skip


def gelu(g, count):
    x, dy = _random(g, count), _random(g, count)
    y, dx = _empty(g, count), _empty(g, count)

    def backward():
        given = x.double().requires_grad_()
        F.gelu(given).backward(dy.double())
        return [given.grad]

    leaf = x.clone().requires_grad_()
    made = F.gelu(leaf)
    return [
        Case(f'GELU {count}', 'DmGelu', [x], [y], [count], lambda: [F.gelu(x.double())], 1e-6, bytes=_size(x, y),
             peers={'eager': lambda: F.gelu(x)}),
        Case(f'GELU gradient {count}', 'DmGeluGrad', [dy, x], [dx], [count], backward, 1e-6, bytes=_size(x, dy, dx),
             peers={'eager': lambda: torch.autograd.grad(made, leaf, dy, retain_graph=True)}),
    ]  # fmt: skip


def masked_patches(g, batch, tokens, masked, values):
    patches, prediction = _random(g, batch, tokens, values), _random(g, batch, masked, values)
    order = torch.stack([torch.randperm(tokens, generator=g.generator)[:masked] for _ in range(batch)]).int().to(g.place)
    index = order.long()[:, :, None].expand(-1, -1, values)
    noise = _random(g, batch, masked, values)
    signal = torch.rand(batch, generator=g.generator).to(g.place)
    scale = (1 - signal**2).sqrt()
    keys = torch.randint(0, 2**31 - 1, (batch, 4), generator=g.generator, dtype=torch.int32).to(g.place)
    mixed, loss, difference, gathered = (_empty(g, batch, masked, values), _empty(g, 1), _empty(g, batch, masked, values), _empty(g, batch, masked, values))
    chosen = lambda x: x.gather(1, index)  # noqa: E731

    def diffused():
        return [signal.double()[:, None, None] * chosen(patches.double()) + scale.double()[:, None, None] * noise.double()]

    def composed():
        return signal[:, None, None] * chosen(patches) + scale[:, None, None] * torch.randn_like(noise)

    def scored(dtype):
        target = chosen(patches.to(dtype))
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + EPSILON).sqrt()
        off = prediction.to(dtype) - target
        return [off.square().mean().reshape(1), off]

    shape = f'{batch} x {masked} of {tokens} x {values}'
    sizes = [batch, tokens, masked, values]
    return [
        Case(f'gather {shape}', 'DmGatherTokens', [patches, order], [gathered], [0, batch, tokens, masked, values],
             lambda: [chosen(patches.double())], 0.0, bytes=2 * _size(gathered), peers={'eager': lambda: chosen(patches)}),
        Case(f'diffuse, noise given, {shape}', 'DmDiffuse', [patches, order, signal, scale, noise], [mixed], [*sizes, 0], diffused, 1e-6,
             bytes=3 * _size(mixed)),
        Case(f'diffuse, noise made, {shape}', 'DmDiffuse', [patches, order, signal, scale, keys], [_empty(g, batch, masked, values)], [*sizes, 1],
             lambda: [None], 0.0, bytes=2 * _size(mixed), peers={'eager': composed, **compiled(composed, g.place)}),
        Case(f'masked patch loss {shape}', 'DmMaskedPatchLoss', [prediction, patches, order], [loss, difference], [*sizes, 1],
             lambda: scored(torch.float64), 1e-5, bytes=3 * _size(difference), peers={'eager': lambda: scored(torch.float32), **compiled(lambda: scored(torch.float32), g.place)}),
    ]  # fmt: skip


def info_nce(g, batch, width):
    queries, keys = _random(g, batch, width), _random(g, batch, width)
    one, loss = torch.ones(1, device=g.place), _empty(g, 1)
    d_queries, d_keys = _empty(g, batch, width), _empty(g, batch, width)

    def scored(q, k):
        return F.cross_entropy(F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T / 0.1, torch.arange(batch, device=g.place))

    def backward(dtype=torch.float64):
        given = [t.to(dtype).requires_grad_() for t in (queries, keys)]
        scored(*given).backward()
        return [t.grad for t in given]

    return [
        Case(f'InfoNCE {batch} x {width}', 'DmInfoNce', [queries, keys], [loss], [batch, width, 0.1],
             lambda: [scored(queries.double(), keys.double()).reshape(1)], 1e-5, peers={'eager': lambda: scored(queries, keys), **compiled(lambda: scored(queries, keys), g.place)}),
        Case(f'InfoNCE gradient {batch} x {width}', 'DmInfoNceGrad', [one, queries, keys], [d_queries, d_keys], [batch, width, 0.1], backward, 1e-4,
             peers={'eager, forward too': lambda: backward(torch.float32)}),
    ]  # fmt: skip


def adamw(g, shapes):
    tensors = [[_random(g, *shape, scale=0.02) for _ in range(3)] + [_random(g, *shape, scale=1e-4).square()] for shape in shapes]
    one = torch.ones(1, device=g.place)
    outputs = [_empty(g, *shape) for shape in shapes for _ in range(3)]
    rate, decay, step = 4e-4, 1e-2, 10
    rates = torch.tensor([rate, rate / (1 - 0.9**step), (1 - 0.95**step) ** -0.5], device=g.place)
    inputs = [t for parameter, gradient, first, second in tensors for t in (parameter, gradient, first, second)] + [one, rates]
    numbers = [len(shapes), 0.9, 0.95, 1e-8] + [n for shape in shapes for n in (math.prod(shape), 1, decay)]

    def reference():
        results = []
        for p, gradient, first, second in [[t.double() for t in group] for group in tensors]:
            first = 0.9 * first + 0.1 * gradient
            second = 0.95 * second + 0.05 * gradient**2
            corrected = (second / (1 - 0.95**step)).sqrt() + 1e-8
            results += [p * (1 - rate * decay) - rate * first / (1 - 0.9**step) / corrected, first, second]
        return results

    peers = {}
    if g.place != 'cpu':
        leaves = [torch.nn.Parameter(p.clone()) for p, *_ in tensors]
        for leaf, (_, gradient, *_) in zip(leaves, tensors):
            leaf.grad = gradient
        fused = torch.optim.AdamW(leaves, lr=rate, betas=(0.9, 0.95), weight_decay=decay, fused=True)
        peers['fused'] = fused.step
    norm = _empty(g, 1)
    gradients = [gradient for _, gradient, *_ in tensors]
    values = sum(math.prod(shape) for shape in shapes)
    return [
        Case(f'AdamW, {values} values', 'DmAdamwUpdate', inputs, outputs, numbers, reference, 1e-5, bytes=28 * values, peers=peers),
        Case(f'global norm, {values} values', 'DmGlobalNorm', gradients, [norm], [math.prod(shape) for shape in shapes],
             lambda: [torch.stack([t.double().square().sum() for t in gradients]).sum().sqrt().reshape(1)], 1e-5, bytes=4 * values,
             peers={'foreach': lambda: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))}),
    ]  # fmt: skip


class Attention(torch.nn.Module):
    """x + proj(attention(norm(x), context)), as a PyTorch user writes it."""

    def __init__(self, width, heads, cross):
        super().__init__()
        self.heads, self.cross = heads, cross
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.q = torch.nn.Linear(width, width if cross else 3 * width)
        if cross:
            self.kv = torch.nn.Linear(width, 2 * width)
        self.proj = torch.nn.Linear(width, width)

    def forward(self, x, context=None):
        own = self.q(self.norm(x))
        parts = [own, *self.kv(context).chunk(2, -1)] if self.cross else own.chunk(3, -1)
        q, k, v = [p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts]
        return x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.fc1, self.fc2 = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.fc2(F.gelu(self.fc1(self.norm(x))))


def _module_peers(module, given, dy, precision):
    """Forward and backward of a module, as it is and compiled."""

    def peer(callable_module):
        def step():
            leaves = [t.detach().requires_grad_() for t in given]
            with torch.autocast(dy.device.type, torch.bfloat16, enabled=precision == 'bfloat16'):
                out = callable_module(*leaves)
            # Not backward(): gradients are not added up over the calls.
            torch.autograd.grad(out, [*leaves, *module.parameters()], dy)

        return step

    return {f'{name}, forward and backward': peer(way) for name, way in {'eager': module, **compiled(module, dy.device.type)}.items()}


def _branch_case(name, op, module, x, context, inputs, saved, numbers, gradient, precision, flops, bound):
    """Forward and backward cases of a large op. gradient(saved tensors) -> (op inputs, op outputs, gradients in that order)."""
    given = [x] if context is None else [x, context]
    y = torch.full_like(x, float('nan'))
    dy = torch.randn_like(x)

    def run(dtype):
        double = module if dtype == torch.float32 else _as_double(module)
        leaves = [t.to(dtype).requires_grad_() for t in given]
        out = double(*leaves)
        wanted = [leaves[0], *double.parameters(), *leaves[1:]]
        return out, wanted

    def forward_reference():
        return [run(torch.float64)[0].detach()] + [None] * len(saved)

    def backward_reference():
        out, wanted = run(torch.float64)
        grads = torch.autograd.grad(out, wanted, dy.double())
        names = ['x', *[n for n, _ in module.named_parameters()], *(['context'] if context is not None else [])]
        by_name = dict(zip(names, grads))
        return [by_name[n] for n in gradient.order]

    peers = _module_peers(module, given, dy, precision)
    outs = gradient.outputs()
    forward = Case(name, op, inputs, [y, *saved], numbers, forward_reference, bound, flops=flops, precision=precision, module=module)
    return [
        forward,
        Case(f'{name} gradient', f'{op}Grad', gradient.inputs(dy), outs, numbers, backward_reference, bound, flops=2 * flops,
             precision=precision, forward=forward, peers=peers),
    ]  # fmt: skip


def _as_double(module):
    copy = type(module).__new__(type(module))
    torch.nn.Module.__init__(copy)
    copy.__dict__.update({k: v for k, v in module.__dict__.items() if not k.startswith('_')})
    for name, child in module.named_children():
        twin = torch.nn.LayerNorm(child.normalized_shape, eps=EPSILON) if isinstance(child, torch.nn.LayerNorm) else torch.nn.Linear(child.in_features, child.out_features)
        twin.load_state_dict(child.state_dict())
        setattr(copy, name, twin.to(next(child.parameters()).device).double())
    return copy


@dataclass
class _Gradient:
    inputs: Callable
    outputs: Callable
    order: list


def attention_branch(g, batch, tokens, context_tokens, width, heads, precision):
    cross = context_tokens > 0
    module = Attention(width, heads, cross).to(g.place)
    for p in module.parameters():
        p.data = _random(g, *p.shape, scale=0.05) + (1 if p.dim() == 1 and p is module.norm.weight else 0)
    x = _random(g, batch, tokens, width)
    context = _random(g, batch, context_tokens, width) if cross else None
    keys = context_tokens if cross else tokens
    stored = torch.bfloat16 if precision == 'bfloat16' else torch.float32
    rows = batch * tokens
    mean, rstd, attended = _empty(g, rows), _empty(g, rows), _empty(g, rows, width, dtype=stored)
    sums = _empty(g, batch * heads * tokens)
    projected = _empty(g, rows, width * (1 if cross else 3), dtype=stored)
    extra = [_empty(g, batch * context_tokens, 2 * width, dtype=stored)] if cross else []
    saved = [mean, rstd, attended, sums, projected, *extra]
    m = module
    kv = [m.kv.weight.data, m.kv.bias.data] if cross else [None, None]
    inputs = [x, m.norm.weight.data, m.norm.bias.data, m.q.weight.data, m.q.bias.data, m.proj.weight.data, m.proj.bias.data, context, *kv, None, None]
    numbers = [batch, tokens, context_tokens, width, heads, EPSILON, int(precision == 'bfloat16'), 0, int(cross), 0, 0, 0, 0, 0, 0, 0]
    fresh = lambda p: torch.full_like(p, float('nan'))  # noqa: E731
    gradient = _Gradient(
        lambda dy: [dy, x, m.norm.weight.data, m.norm.bias.data, m.q.weight.data, m.proj.weight.data, context, kv[0], None, None, *saved],
        lambda: [fresh(x), *[fresh(p.data) for p in (m.norm.weight, m.norm.bias, m.q.weight, m.q.bias, m.proj.weight, m.proj.bias)],
                 *([fresh(m.kv.weight.data), fresh(m.kv.bias.data), fresh(context)] if cross else [])],
        ['x', 'norm.weight', 'norm.bias', 'q.weight', 'q.bias', 'proj.weight', 'proj.bias', *(['kv.weight', 'kv.bias', 'context'] if cross else [])],
    )  # fmt: skip
    products = rows * width * width * (2 if cross else 4) + (2 * batch * context_tokens * width * width if cross else 0)
    flops = 2 * (products + 2 * batch * tokens * keys * width)
    name = f'attention branch {batch} x {tokens}{f" to {context_tokens}" if cross else ""} x {width}, {heads} heads, {precision}'
    return _branch_case(name, 'DmAttentionBranch', module, x, context, inputs, saved, numbers, gradient, precision, flops,
                        2e-2 if precision == 'bfloat16' else 1e-5)  # fmt: skip


def mlp_branch(g, batch, tokens, width, precision, x=None):
    module = Mlp(width).to(g.place)
    for p in module.parameters():
        p.data = _random(g, *p.shape, scale=0.05) + (1 if p is module.norm.weight else 0)
    x = _random(g, batch, tokens, width) if x is None else x
    rows, stored = batch * tokens, torch.bfloat16 if precision == 'bfloat16' else torch.float32
    saved = [_empty(g, rows), _empty(g, rows), _empty(g, rows, 4 * width, dtype=stored)]
    m = module
    inputs = [x, m.norm.weight.data, m.norm.bias.data, m.fc1.weight.data, m.fc1.bias.data, m.fc2.weight.data, m.fc2.bias.data, None]
    numbers = [batch, tokens, width, 4 * width, EPSILON, int(precision == 'bfloat16'), 0]
    fresh = lambda p: torch.full_like(p, float('nan'))  # noqa: E731
    gradient = _Gradient(
        lambda dy: [dy, x, m.norm.weight.data, m.norm.bias.data, m.fc1.weight.data, m.fc2.weight.data, None, *saved],
        lambda: [fresh(x), *[fresh(p.data) for p in (m.norm.weight, m.norm.bias, m.fc1.weight, m.fc1.bias, m.fc2.weight, m.fc2.bias)]],
        ['x', 'norm.weight', 'norm.bias', 'fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias'],
    )  # fmt: skip
    return _branch_case(f'MLP branch {batch} x {tokens} x {width}, {precision}', 'DmMlpBranch', module, x, None, inputs, saved, numbers, gradient,
                        precision, 2 * 8 * rows * width * width, 2e-2 if precision == 'bfloat16' else 1e-5)  # fmt: skip


def block(g, batch, tokens, width, heads, precision):
    """A whole transformer block, forward and backward: four ops, the results of one being what the next reads."""
    attend, attend_back = attention_branch(g, batch, tokens, 0, width, heads, precision)
    mlp, mlp_back = mlp_branch(g, batch, tokens, width, precision, x=attend.outputs[0])
    attend_back.inputs[0] = mlp_back.outputs[0]
    x, dy = attend.inputs[0], mlp_back.inputs[0]
    module = torch.nn.Sequential(attend.module, mlp.module)

    def reference():
        leaf = x.double().requires_grad_()
        out = _as_double(mlp.module)(_as_double(attend.module)(leaf))
        out.backward(dy.double())
        return [out.detach(), leaf.grad]

    parts = (attend, mlp, mlp_back, attend_back)
    return Case(f'block {batch} x {tokens} x {width}, {heads} heads, forward and backward, {precision}', 'DmMlpBranch', [],
                [mlp.outputs[0], attend_back.outputs[0]], [], reference, 2e-2 if precision == 'bfloat16' else 1e-5,
                flops=sum(part.flops for part in parts), precision=precision,
                peers=_module_peers(module, [x], dy, precision),
                calls=[(part.op, [*part.inputs, *part.outputs], part.numbers) for part in parts])  # fmt: skip


@dataclass
class Group:
    """Cases over the same tensors. `make` draws them; nothing is drawn before."""

    name: str
    make: Callable  # (Source) -> list of Case


def groups(small):
    """
    What there is to check and time, the dearest first: bfloat16 branches, their parts, what surrounds them, float32. Small sizes check every op in
    seconds on the emulator; the others are a ViT-B step of 32 clips at mask ratio 0.8.
    """
    size = lambda tiny, real: tiny if small else real  # noqa: E731
    branch_shapes = size([(1, 17, 0, 64, 1), (2, 5, 19, 64, 2)], [(64, 314, 0, 768, 12), (64, 102, 0, 768, 12), (32, 1255, 313, 512, 16)])
    # Encoders of video and audio, fusion, the video decoder across.
    attention_shapes = size(
        [(2, 17, 17, 64, 2), (1, 19, 33, 64, 1)],
        [(64, 314, 314, 768, 12), (64, 102, 102, 768, 12), (32, 416, 416, 768, 12), (32, 1254, 314, 512, 16)],
    )

    def group(make, *arguments):
        return Group(f'{make.__name__} {arguments}', lambda g: make(g, *arguments))

    def of_precision(precision):
        for shape in branch_shapes:
            yield group(attention_branch, *shape, precision)
        yield group(mlp_branch, *size((2, 9, 32), (64, 314, 768)), precision)
        for gelu_after in (False, True):
            yield group(linear, *size((17, 24, 40), (20096, 768, 3072)), gelu_after, precision)

    yield from of_precision('bfloat16')
    yield Group('block', lambda g: [block(g, *size((2, 17, 64, 2), (64, 314, 768, 12)), 'bfloat16')])
    yield from (group(attention, *shape) for shape in attention_shapes)
    # The audio decoder's windows, without and with a shift.
    yield from (group(window_attention, *size((2, 8, 8, 64, 2), (32, 64, 8, 512, 16)), shift) for shift in (0, 2))
    yield group(masked_patches, *size((2, 16, 11, 48), (32, 1568, 1255, 1536)))
    yield from (group(layer_norm, *shape) for shape in size([(7, 51)], [(20096, 768), (40160, 512)]))
    yield group(gelu, size(1001, 20096 * 3072))
    yield Group('adamw', lambda g: adamw(g, size([(33, 7), (5,)], [(768, 3072), (3072, 768), (2304, 768), (768,)] * 24)))
    yield group(info_nce, *size((5, 24), (64, 768)))
    table = size((300, 1100, 5), (50000, 16384, 256))
    yield from (group(embedding_gradient, *table, alike) for alike in (False, True))
    yield group(scatter_add, *size((70, 2100), (65536, 1 << 20)))
    top_shapes = size(
        [(3, 100, 5), (3, 1000, 100), (1, 33000, 300), (1, 2500, 2100)],
        [(4096, 1000, 5), (4096, 1000, 100), (4096, 1000, 1000), (1, 100000, 1000), (64, 50000, 50), (1, 1000000, 10000)],
    )
    yield from (group(top_k, *shape) for shape in top_shapes)
    yield group(matmul, *size((2, 17, 24, 40), (64, 314, 768, 768)))
    yield from of_precision('float32')


def cases_of(group, place):
    """Its cases; the same ones in every process."""
    torch.manual_seed(1)
    return list(group.make(Source(torch.Generator().manual_seed(1), place)))
