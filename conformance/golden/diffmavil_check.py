# SPDX-License-Identifier: Apache-2.0
"""Checks the reference itself, against torch's own modules, a brute-force window rule and published constants.

Writes nothing; fails loudly. Versions: Python 3.11, torch 2.13.0 (CPU).
"""

import torch
import torch.nn.functional as F
from diffmavil import (
    Block, SelfAttention, WindowBlock, alpha_bars, attend, audio_positions, info_nce, select_target,
    video_positions, visible_count,
)  # fmt: skip

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)


def close(actual, expected, tolerance=1e-12):
    error = (torch.as_tensor(actual) - torch.as_tensor(expected)).abs().max().item()
    assert error <= tolerance, f'expected a difference of at most {tolerance}, got {error}'


def random_module(module):
    for parameter in module.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape)
    return module


def check_constants():
    # cumulative products of 1 - beta_t^0.8 to ten digits, and the sin-cos value of patch (1, 1)
    masked = {'timesteps': 1000, 'betaStart': 1e-4, 'betaEnd': 0.02, 'exponent': 0.8}
    close(alpha_bars(masked)[[0, 9, 49, 99, 199]],
          [0.9993690427, 0.9896003822, 0.8802516146, 0.6601961155, 0.2475906853], 5e-11)  # fmt: skip
    close(alpha_bars({**masked, 'exponent': 1})[999], 4.03583e-5, 5e-11)
    close(audio_positions([64, 8], 768)[9, [0, 192, 384, 576]], [0.841471, 0.540302, 0.841471, 0.540302], 1e-6)
    p = video_positions([2, 3, 5], 8)
    close(p[1 * 15 + 2 * 5 + 4] - p[2 * 5 + 4], p[15] - p[0])
    assert [visible_count(512, 0.8), visible_count(1568, 0.8), visible_count(10, 0.9)] == [102, 313, 1]


def check_attention():
    q, k, v = torch.randn(2, 5, 12), torch.randn(2, 7, 12), torch.randn(2, 7, 12)
    def heads(x):
        return x.reshape(2, -1, 3, 4).transpose(1, 2)
    expected = F.scaled_dot_product_attention(heads(q), heads(k), heads(v)).transpose(1, 2).reshape(2, 5, 12)
    close(attend(q, k, v, 3), expected)


def check_block():
    block = random_module(Block(12, 3, 4))
    layer = torch.nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0, activation='gelu', layer_norm_eps=1e-6, batch_first=True, norm_first=True)  # fmt: skip
    ours = dict(block.named_parameters())
    theirs = {
        'self_attn.in_proj_weight': 'attn.qkv.weight', 'self_attn.in_proj_bias': 'attn.qkv.bias',
        'self_attn.out_proj.weight': 'attn.proj.weight', 'self_attn.out_proj.bias': 'attn.proj.bias',
        'linear1.weight': 'mlp.fc1.weight', 'linear1.bias': 'mlp.fc1.bias',
        'linear2.weight': 'mlp.fc2.weight', 'linear2.bias': 'mlp.fc2.bias',
        'norm1.weight': 'norm1.weight', 'norm1.bias': 'norm1.bias',
        'norm2.weight': 'norm2.weight', 'norm2.bias': 'norm2.bias',
    }  # fmt: skip
    layer.load_state_dict({name: ours[source].data for name, source in theirs.items()})
    x = torch.randn(2, 9, 12)
    close(block(x), layer(x))


def brute_force_window(block, x):
    """Token by token: who is in my window of the rolled grid, and not across its seam."""
    rows, columns = block.grid
    (a, b), (sr, sc) = block.window, block.shift
    query, key, value = block.attn.qkv(block.norm1(x)).chunk(3, dim=-1)
    tokens = [(r, c) for r in range(rows) for c in range(columns)]

    def window(r, c):
        return ((r - sr) % rows // a, (c - sc) % columns // b)

    def wrapped(r, c):
        return (sr > 0 and r < sr, sc > 0 and c < sc)

    table = (2 * a - 1) * (2 * b - 1)
    bias = torch.full((block.attn.heads, len(tokens), len(tokens)), -torch.inf)
    for i, (r, c) in enumerate(tokens):
        for j, (u, v) in enumerate(tokens):
            if window(r, c) == window(u, v) and wrapped(r, c) == wrapped(u, v):
                # distance inside the window: on a rolled grid that is the plain distance, same side of the seam
                index = (r - u + a - 1) * (2 * b - 1) + (c - v + b - 1)
                assert 0 <= index < table
                bias[:, i, j] = block.rel_bias[index]
    x = x + block.attn.proj(attend(query, key, value, block.attn.heads, bias))
    return x + block.mlp(block.norm2(x))


def check_windows():
    sizes = [([8, 8], [4, 4], [2, 2]), ([12, 4], [4, 4], [2, 2]), ([8, 6], [4, 2], [1, 1]), ([6, 5], [3, 5], [2, 2]),
             ([8, 8], [4, 4], [0, 0]), ([7, 5], [7, 5], [2, 2])]  # fmt: skip
    for grid, window, shift in sizes:
        block = random_module(WindowBlock(12, 3, 4, grid, window, shift))
        x = torch.randn(2, grid[0] * grid[1], 12)
        close(block(x), brute_force_window(block, x), 1e-11)


def check_losses():
    a, v = torch.randn(3, 5), torch.randn(3, 5)
    expected = 0.0
    for i in range(3):
        s = torch.stack([torch.cosine_similarity(a[i], v[j], dim=0) for j in range(3)]) / 0.1
        expected -= (s[i] - s.logsumexp(0)) / 3
    close(info_nce(a, v, 0.1), expected)
    # 16 frames in tubelets of 2, 8 predicted: frames 0 2 4 6 8 10 12 15
    frames = torch.arange(16.0).reshape(1, 8, 2)[:, :, :, None].expand(1, 8, 2, 3).flatten(2)
    video = {'frames': 16, 'tubelet': 2, 'predictFrames': 8}
    close(select_target(frames, video)[0, :, 0], [0.0, 2, 4, 6, 8, 10, 12, 15])


if __name__ == '__main__':
    assert SelfAttention(12, 3).qkv.weight.shape == (36, 12)
    for check in (check_constants, check_attention, check_block, check_windows, check_losses):
        check()
        print('ok', check.__name__)
