# SPDX-License-Identifier: Apache-2.0
"""Golden values and gradients of the ops of @diffmavil/core, from PyTorch in float64.

Written with torch 2.13.0, numpy 2.4.6, safetensors 0.8.0, Python 3.11. Usage: python conformance/golden/ops.py
One file for each op, fixtures/ops/<op>.safetensors. A case is a prefix: `<case>.in.<input>` (float32 values, int32 indices),
`<case>.dy`, `<case>.y`, `<case>.grad.<input>`; the loss is sum(dy * y). Inputs are rounded to float32 before anything is
computed, outputs are float64. The mathematics is written from the definitions: PyTorch's own layers where it has them,
and for windows the roll, partition and mask of Swin (arXiv 2103.14030).
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent / "fixtures" / "ops"
generator = torch.Generator().manual_seed(20231004)


def draw(*shape, scale=1.0):
    return (torch.randn(shape, generator=generator) * scale).to(torch.float32).double()


def write(op, cases):
    tensors = {}
    for name, (inputs, function) in cases.items():
        leaves = {key: value.clone() for key, value in inputs.items()}
        for value in leaves.values():
            if value.is_floating_point():
                value.requires_grad_(True)
        y = function(**leaves)
        dy = draw(*y.shape)
        (y * dy).sum().backward()
        for key, value in leaves.items():
            dtype = np.float32 if value.is_floating_point() else np.int32
            tensors[f"{name}.in.{key}"] = value.detach().numpy().astype(dtype)
            if value.grad is not None:
                tensors[f"{name}.grad.{key}"] = value.grad.numpy()
        tensors[f"{name}.y"] = y.detach().numpy()
        tensors[f"{name}.dy"] = dy.numpy().astype(np.float32)
    save(op, tensors)


def save(op, tensors):
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.ascontiguousarray(value) for key, value in sorted(tensors.items())}
    save_file(arrays, FOLDER / f"{op}.safetensors", metadata={"torch": torch.__version__.split("+")[0]})


def linear_parameters(name, out_width, in_width):
    scale = in_width**-0.5
    return {f"{name}Weight": draw(out_width, in_width, scale=scale), f"{name}Bias": draw(out_width, scale=0.5)}


def norm_parameters(width):
    return {"normWeight": 1 + draw(width, scale=0.3), "normBias": draw(width, scale=0.3)}


def attend(q, k, v, heads, bias=None):
    """q [batch, queries, width]; bias broadcasts over [batch, heads, queries, keys]."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def windows_of(x, grid, size):
    """[batch, rows * columns, channels] -> [batch * windows, window tokens, channels]."""
    batch, _, channels = x.shape
    (rows, columns), (a, b) = grid, size
    x = x.view(batch, rows // a, a, columns // b, b, channels).transpose(2, 3)
    return x.reshape(-1, a * b, channels)


def tokens_of(x, grid, size, batch):
    (rows, columns), (a, b) = grid, size
    x = x.view(batch, rows // a, columns // b, a, b, -1).transpose(2, 3)
    return x.reshape(batch, rows * columns, -1)


def window_attend(q, k, v, rel_bias, heads, grid, size, shift):
    (rows, columns), (a, b) = grid, size
    batch, tokens = q.shape[:2]
    shift = (shift[0] if rows > a else 0, shift[1] if columns > b else 0)

    def roll(x, sign):
        moved = x.view(batch, rows, columns, -1).roll((sign * shift[0], sign * shift[1]), (1, 2))
        return moved.reshape(batch, tokens, -1)

    region = torch.zeros(rows, columns, dtype=torch.float64)
    label = 0
    spans = [[slice(0, -n), slice(-n, -s), slice(-s, None)] if s else [slice(None)] for n, s in zip(size, shift)]
    for row_span in spans[0]:
        for column_span in spans[1]:
            region[row_span, column_span] = label
            label += 1
    labels = windows_of(region.view(1, -1, 1), grid, size).squeeze(-1)
    mask = (labels[:, :, None] != labels[:, None, :]) * -100.0  # [windows, N, N]

    place = torch.stack(torch.meshgrid(torch.arange(a), torch.arange(b), indexing="ij")).flatten(1)
    offset = place[:, :, None] - place[:, None, :]  # query - key
    index = (offset[0] + a - 1) * (2 * b - 1) + (offset[1] + b - 1)
    table = rel_bias[index].permute(2, 0, 1)  # [heads, N, N]

    bias = (mask[:, None] + table[None]).repeat(batch, 1, 1, 1)
    parts = [windows_of(roll(x, -1), grid, size) for x in (q, k, v)]
    return roll(tokens_of(attend(*parts, heads, bias), grid, size, batch), 1)


def qkv_inputs(batch, queries, keys, width):
    return {"query": draw(batch, queries, width), "key": draw(batch, keys, width), "value": draw(batch, keys, width)}


WINDOWS = {
    "window8x8": dict(grid=(8, 8), size=(4, 4), shift=(2, 2)),
    "window4x8": dict(grid=(4, 8), size=(4, 4), shift=(2, 2)),
    "window6x4": dict(grid=(6, 4), size=(3, 2), shift=(1, 0)),
}


def offsets(size):
    return (2 * size[0] - 1) * (2 * size[1] - 1)


def write_attention():
    def plain(query, key, value):
        return attend(query, key, value, 3)

    cases = {"self": (qkv_inputs(2, 5, 5, 12), plain), "cross": (qkv_inputs(2, 5, 7, 12), plain)}
    for name, layout in WINDOWS.items():
        tokens = layout["grid"][0] * layout["grid"][1]
        inputs = qkv_inputs(1, tokens, tokens, 12) | {"relBias": draw(offsets(layout["size"]), 3)}
        cases[name] = (
            inputs,
            lambda query, key, value, relBias, layout=layout: window_attend(query, key, value, relBias, 3, **layout),
        )
    write("attention", cases)


def self_inputs(batch, tokens, width):
    return (
        {"x": draw(batch, tokens, width)}
        | norm_parameters(width)
        | linear_parameters("qkv", 3 * width, width)
        | linear_parameters("proj", width, width)
    )


def write_attention_branch():
    def norm(x, p):
        return F.layer_norm(x, x.shape[-1:], p["normWeight"], p["normBias"], 1e-6)

    def self_branch(x, **p):
        q, k, v = F.linear(norm(x, p), p["qkvWeight"], p["qkvBias"]).chunk(3, -1)
        return x + F.linear(attend(q, k, v, 3), p["projWeight"], p["projBias"])

    def cross_branch(x, context, **p):
        q = F.linear(norm(x, p), p["qWeight"], p["qBias"])
        k, v = F.linear(context, p["kvWeight"], p["kvBias"]).chunk(2, -1)
        return x + F.linear(attend(q, k, v, 3), p["projWeight"], p["projBias"])

    def window_branch(x, relBias, layout, **p):
        q, k, v = F.linear(norm(x, p), p["qkvWeight"], p["qkvBias"]).chunk(3, -1)
        return x + F.linear(window_attend(q, k, v, relBias, 3, **layout), p["projWeight"], p["projBias"])

    cross = (
        {"x": draw(2, 5, 12), "context": draw(2, 7, 12)}
        | norm_parameters(12)
        | linear_parameters("q", 12, 12)
        | linear_parameters("kv", 24, 12)
        | linear_parameters("proj", 12, 12)
    )
    cases = {"self": (self_inputs(2, 5, 12), self_branch), "cross": (cross, cross_branch)}
    for name, layout in WINDOWS.items():
        inputs = self_inputs(1, layout["grid"][0] * layout["grid"][1], 12)
        inputs["relBias"] = draw(offsets(layout["size"]), 3)
        cases[name] = (inputs, lambda layout=layout, **p: window_branch(layout=layout, **p))
    write("attention-branch", cases)


def write_mlp_branch():
    def branch(x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias):
        hidden = F.linear(F.layer_norm(x, x.shape[-1:], normWeight, normBias, 1e-6), fc1Weight, fc1Bias)
        return x + F.linear(F.gelu(hidden), fc2Weight, fc2Bias)

    inputs = {"x": draw(2, 5, 12)} | norm_parameters(12)
    inputs |= linear_parameters("fc1", 48, 12) | linear_parameters("fc2", 12, 48)
    write("mlp-branch", {"plain": (inputs, branch)})


def write_small_ops():
    inputs = {"x": draw(2, 5, 12), "weight": draw(7, 12), "bias": draw(7)}
    write("linear", {
        "plain": (inputs, F.linear),
        "unbiased": ({key: inputs[key] for key in ("x", "weight")}, F.linear),
        "gelu": (inputs, lambda x, weight, bias: F.gelu(F.linear(x, weight, bias))),
    })
    x = draw(2, 7, 12) * torch.logspace(-3, 2, 14, dtype=torch.float64).view(2, 7, 1) + 1
    inputs = {"x": x.float().double(), "weight": draw(12), "bias": draw(12)}
    write("layer-norm", {
        "epsilon1e-6": (inputs, lambda x, weight, bias: F.layer_norm(x, (12,), weight, bias, 1e-6)),
        "epsilon0.5": (inputs, lambda x, weight, bias: F.layer_norm(x, (12,), weight, bias, 0.5)),
    })
    write("gelu", {"range": ({"x": torch.linspace(-7, 7, 141).float().double()}, F.gelu)})

    indices = torch.tensor([[6, 0, 3], [1, 2, 6]])
    spread = {"x": draw(2, 7, 4), "indices": indices}
    write("gather-tokens", {
        "gather": (spread, lambda x, indices: x.gather(1, indices[:, :, None].expand(-1, -1, 4))),
        "scatter": (
            {"x": draw(2, 3, 4), "indices": indices},
            lambda x, indices: torch.zeros(2, 7, 4, dtype=x.dtype).scatter_add(1, indices[:, :, None].expand(-1, -1, 4), x),
        ),
    })


def select(patches, indices):
    return patches[torch.arange(2)[:, None], indices]


def diffuse(patches, indices, signal, noiseScale, noise):
    return signal[:, None, None].detach() * select(patches, indices) + noiseScale[:, None, None].detach() * noise


def diffuse_inputs():
    scales = torch.tensor([0.25, 0.9], dtype=torch.float64)
    inputs = {"patches": draw(2, 7, 8), "indices": torch.tensor([[6, 0, 3], [1, 2, 6]])}
    inputs |= {"signal": scales.sqrt().float().double(), "noiseScale": (1 - scales).sqrt().float().double()}
    return inputs | {"noise": draw(2, 3, 8)}


def write_losses():
    indices = torch.tensor([[6, 0, 3], [1, 2, 6]])
    write("diffuse", {"values": (diffuse_inputs(), diffuse)})

    def loss(prediction, patches, indices, normalize):
        target = select(patches.detach(), indices)
        if normalize:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        return F.mse_loss(prediction, target)

    inputs = {"prediction": draw(2, 3, 8), "patches": draw(2, 7, 8), "indices": indices}
    write("masked-patch-loss", {
        "raw": (inputs, lambda **p: loss(**p, normalize=False)),
        "normalized": (inputs, lambda **p: loss(**p, normalize=True)),
    })

    def info_nce(queries, keys, temperature):
        cosine = F.cosine_similarity(queries[:, None], keys[None], dim=-1)
        return F.cross_entropy(cosine / temperature, torch.arange(len(queries)))

    inputs = {"queries": draw(5, 12), "keys": draw(5, 12)}
    write("info-nce", {
        "inter": (inputs, lambda **p: info_nce(**p, temperature=0.1)),
        "intra": (inputs, lambda **p: info_nce(**p, temperature=1.0)),
    })


def write_adamw():
    """Three steps of torch.optim.AdamW in float64 with two groups, the second update with gradients clipped to norm 1."""
    tensors = {}
    shapes = {"blocks.0.weight": (3, 5), "blocks.0.bias": (3,), "head.weight": (2, 3)}
    parameters = {name: draw(*shape).requires_grad_(True) for name, shape in shapes.items()}
    groups = [
        {"params": [parameters["blocks.0.weight"]], "lr": 0.75 * 0.02, "weight_decay": 0.3},
        {"params": [parameters["blocks.0.bias"]], "lr": 0.75 * 0.02, "weight_decay": 0.0},
        {"params": [parameters["head.weight"]], "lr": 0.02, "weight_decay": 0.3},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    for name, value in parameters.items():
        tensors[f"step0.parameter.{name}"] = value.detach().numpy().astype(np.float32)
    for step in (1, 2, 3):
        for name, value in parameters.items():
            value.grad = draw(*value.shape)
            tensors[f"step{step}.gradient.{name}"] = value.grad.numpy().astype(np.float32)
        norm = torch.nn.utils.get_total_norm([value.grad for value in parameters.values()])
        tensors[f"step{step}.norm"] = norm.reshape(()).numpy()
        if step == 2:
            for value in parameters.values():
                value.grad *= 1 / norm
        optimizer.step()
        for name, value in parameters.items():
            state = optimizer.state[value]
            tensors[f"step{step}.parameter.{name}"] = value.detach().numpy().copy()
            tensors[f"step{step}.first.{name}"] = state["exp_avg"].numpy().copy()
            tensors[f"step{step}.second.{name}"] = state["exp_avg_sq"].numpy().copy()
    save("adamw-update", tensors)


def write_diffused_linear():
    inputs = diffuse_inputs() | {"weight": draw(5, 8, scale=8**-0.5), "bias": draw(5, scale=0.5)}
    write("diffused-linear", {"values": (inputs, lambda weight, bias, **x: F.linear(diffuse(**x), weight, bias))})


if __name__ == "__main__":
    write_small_ops()
    write_attention()
    write_attention_branch()
    write_mlp_branch()
    write_losses()
    write_adamw()
    write_diffused_linear()
