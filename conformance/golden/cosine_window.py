# SPDX-License-Identifier: Apache-2.0
"""AudioMAE's decoder block (post-norm, cosine attention in shifted windows, log-spaced position bias) in plain PyTorch.

Written token by token from the description in "Swin Transformer V2" (arXiv 2111.09883 §3.2-3.3) with AudioMAE's settings
(arXiv 2207.06405 §3): each query looks up the keys of its own window, so that windows, shift and mask are plain integers
here. Writes fixtures/cosine-window/block.safetensors: inputs, weights (names of a decoder block in model.safetensors), the
output, and the gradients of sum(output * dy). Computed in float64, stored as float32. torch 2.13.0, safetensors 0.8.0.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
GRID, SIZE, HEADS, WIDTH, BATCH = (8, 4), (4, 4), 2, 8, 2
# 'shifted' wraps rows only: columns are no longer than the window.
CASES = {'plain': (0, 0), 'shifted': (2, 2), 'both': (1, 2)}
GRIDS = {'plain': GRID, 'shifted': GRID, 'both': (4, 8)}
SIZES = {'plain': SIZE, 'shifted': SIZE, 'both': (2, 4)}


def window_of(row, column, grid, size, shift):
    """Window and region of a token, after the grid was rolled by -shift: tokens attend freely when both agree."""
    shift = [s if g > w else 0 for s, g, w in zip(shift, grid, size)]
    place = [(p - s) % g for p, s, g in zip((row, column), shift, grid)]
    wrapped = [s > 0 and p >= g - s for p, s, g in zip(place, shift, grid)]
    return tuple(p // w for p, w in zip(place, size)), tuple(wrapped), tuple(p % w for p, w in zip(place, size))


def attention(x, weights, grid, size, shift):
    batch, tokens, width = x.shape
    q, k, v = (x @ weights['attn.qkv.weight'].T + weights['attn.qkv.bias']).split(width, dim=2)
    split = lambda t: t.reshape(batch, tokens, HEADS, width // HEADS).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    cosine = (q @ k.transpose(2, 3)) / (q.norm(dim=3)[..., :, None] * k.norm(dim=3)[..., None, :]).clamp(min=1e-6)
    scores = cosine / weights['attn.tau'].clamp(min=0.01)[None, :, None, None]
    places = [window_of(t // grid[1], t % grid[1], grid, size, shift) for t in range(tokens)]
    offsets = torch.zeros(tokens, tokens, 2, dtype=x.dtype)
    outside = torch.zeros(tokens, tokens, dtype=x.dtype)
    for i, (window, region, inner) in enumerate(places):
        for j, (other_window, other_region, other_inner) in enumerate(places):
            if window != other_window:
                outside[i, j] = float('-inf')
                continue
            offsets[i, j] = torch.tensor([a - b for a, b in zip(inner, other_inner)], dtype=x.dtype)
            if region != other_region:
                outside[i, j] = -100.0
    log_offsets = offsets.sign() * (1 + offsets.abs()).log()
    hidden = (log_offsets @ weights['attn.bias_mlp.fc1.weight'].T + weights['attn.bias_mlp.fc1.bias']).relu()
    bias = hidden @ weights['attn.bias_mlp.fc2.weight'].T + weights['attn.bias_mlp.fc2.bias']
    mixed = (scores + bias.permute(2, 0, 1) + outside).softmax(dim=3) @ v
    mixed = mixed.transpose(1, 2).reshape(batch, tokens, width)
    return mixed @ weights['attn.proj.weight'].T + weights['attn.proj.bias']


def block(x, weights, grid, size, shift):
    norm = lambda t, name: torch.nn.functional.layer_norm(
        t, (t.shape[-1],), weights[f'{name}.weight'], weights[f'{name}.bias'], 1e-6)
    x = x + norm(attention(x, weights, grid, size, shift), 'norm1')
    hidden = torch.nn.functional.gelu(x @ weights['mlp.fc1.weight'].T + weights['mlp.fc1.bias'])
    return x + norm(hidden @ weights['mlp.fc2.weight'].T + weights['mlp.fc2.bias'], 'norm2')


def main():
    torch.manual_seed(8)
    shapes = {
        'norm1.weight': (WIDTH,), 'norm1.bias': (WIDTH,), 'attn.qkv.weight': (3 * WIDTH, WIDTH), 'attn.qkv.bias': (3 * WIDTH,),
        'attn.proj.weight': (WIDTH, WIDTH), 'attn.proj.bias': (WIDTH,), 'attn.tau': (HEADS,),
        'attn.bias_mlp.fc1.weight': (384, 2), 'attn.bias_mlp.fc1.bias': (384,),
        'attn.bias_mlp.fc2.weight': (HEADS, 384), 'attn.bias_mlp.fc2.bias': (HEADS,),
        'norm2.weight': (WIDTH,), 'norm2.bias': (WIDTH,), 'mlp.fc1.weight': (4 * WIDTH, WIDTH), 'mlp.fc1.bias': (4 * WIDTH,),
        'mlp.fc2.weight': (WIDTH, 4 * WIDTH), 'mlp.fc2.bias': (WIDTH,),
    }
    weights = {name: (torch.randn(shape) * (0.2 if len(shape) > 1 else 0.5)).float() for name, shape in shapes.items()}
    # One head above, one below the smallest temperature, whose gradient is then 0.
    weights['attn.tau'] = torch.tensor([0.3, 0.005])
    out = {f'weight.{name}': value for name, value in weights.items()}
    for case, shift in CASES.items():
        grid, size = GRIDS[case], SIZES[case]
        x = torch.randn(BATCH, grid[0] * grid[1], WIDTH)
        dy = torch.randn_like(x)
        leaves = {name: value.double().requires_grad_() for name, value in weights.items()}
        input = x.double().requires_grad_()
        y = block(input, leaves, grid, size, shift)
        (y * dy.double()).sum().backward()
        out |= {f'{case}.x': x, f'{case}.dy': dy, f'{case}.y': y.detach().float(), f'{case}.grad.x': input.grad.float()}
        out |= {f'{case}.grad.{name}': leaf.grad.float() for name, leaf in leaves.items()}
    folder = HERE / 'fixtures' / 'cosine-window'
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in out.items()}, folder / 'block.safetensors')


if __name__ == '__main__':
    main()
