# SPDX-License-Identifier: Apache-2.0
"""DiffMAViL pre-training as a PyTorch user would write it to be fast: the other side of the training-step bench.

nn.Linear, nn.LayerNorm, F.gelu, F.scaled_dot_product_attention and no Python loops over data; whatever does not depend on
the weights (positions, window indices, masks, noise levels) is a buffer. Runs under autocast and torch.compile. The arithmetic is
that of the model the project pins; train-step.ts compares losses before it times anything.

Parameters have the names of `model.safetensors`. Legend: B batch, N tokens, K visible, M = N - K masked, C width, P patch values.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-6


def sin_cos(position, width):
    """[N] -> [N, width]: sines, then cosines."""
    half = width // 2
    angle = position.double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def positions(grid, width):
    """2-D over (rows, columns), column first; for (times, rows, columns) plus 1-D over time. float32 [N, width]."""
    *times, rows, columns = grid
    row, column = torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)
    table = torch.cat([sin_cos(column, width // 2), sin_cos(row, width // 2)], dim=1)
    if times:
        time = sin_cos(torch.arange(times[0]), width)
        table = (time[:, None] + table[None]).flatten(0, 1)
    return table.float()


def take(x, index):
    """[B, N, C], [B, K] -> [B, K, C]"""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[-1]))


def split_heads(x, heads):
    """[..., N, C] -> [..., heads, N, C / heads]"""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x):
    return x.transpose(-3, -2).flatten(-2)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, mask=None):
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask)))


class CrossAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, context):
        key, value = (split_heads(part, self.heads) for part in self.kv(context).chunk(2, dim=-1))
        query = split_heads(self.q(x), self.heads)
        return self.proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))


class Mlp(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        self.fc1 = nn.Linear(width, int(ratio * width))
        self.fc2 = nn.Linear(int(ratio * width), width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm; with a context the attention is cross-attention to it."""

    def __init__(self, width, heads, ratio, attention=SelfAttention):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, ratio)

    def forward(self, x, *context):
        x = x + self.attn(self.norm1(x), *context)
        return x + self.mlp(self.norm2(x))


class WindowBlock(Block):
    """Swin block over a grid of tokens; [B, N, C] in and out."""

    def __init__(self, width, heads, ratio, grid, window, shift):
        super().__init__(width, heads, ratio)
        (a, b), self.grid, self.window = window, grid, window
        self.shift = [0 if n <= w else s for n, w, s in zip(grid, window, shift)]
        self.rel_bias = nn.Parameter(torch.zeros((2 * a - 1) * (2 * b - 1), heads))
        row, column = torch.arange(a).repeat_interleave(b), torch.arange(b).repeat(a)
        index = (row[:, None] - row + a - 1) * (2 * b - 1) + column[:, None] - column + b - 1
        self.register_buffer('index', index, persistent=False)
        self.register_buffer('seam', self.seam_mask() if any(self.shift) else None, persistent=False)

    def seam_mask(self):
        """[windows, 1, a * b, a * b]: -100 between tokens that only the roll made neighbours."""

        def bands(length, size, shift):
            place = torch.arange(length)
            return (place >= length - size).int() + (place >= length - shift).int() if shift else place * 0

        rows, columns = (bands(*axis) for axis in zip(self.grid, self.window, self.shift))
        region = self.cut((rows[:, None] * 3 + columns)[None, :, :, None]).squeeze(-1)
        return ((region[:, None, :] != region[:, :, None]) * -100.0)[:, None]

    def cut(self, x):
        """[B, rows, columns, C] -> [B * windows, a * b, C]"""
        (rows, columns), (a, b) = self.grid, self.window
        x = x.unflatten(2, (columns // b, b)).unflatten(1, (rows // a, a))
        return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)

    def put_back(self, x):
        (rows, columns), (a, b) = self.grid, self.window
        x = x.unflatten(1, (a, b)).unflatten(0, (-1, rows // a, columns // b))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def forward(self, x):
        down, right = self.shift
        bias = self.rel_bias[self.index].permute(2, 0, 1)[None]
        h = self.norm1(x).unflatten(1, self.grid)
        if self.seam is None:
            h = self.put_back(self.attn(self.cut(h), bias))
        else:
            mask = (bias + self.seam).repeat(x.shape[0], 1, 1, 1)
            h = self.cut(h.roll((-down, -right), (1, 2)))
            h = self.put_back(self.attn(h, mask)).roll((down, right), (1, 2))
        x = x + h.flatten(1, 2)
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    def __init__(self, values, grid, config):
        super().__init__()
        width = config['width']
        self.register_buffer('positions', positions(grid, width), persistent=False)
        self.patch_embed = nn.Linear(values, width)
        if config['classToken']:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        blocks = (Block(width, config['heads'], config['mlpRatio']) for _ in range(config['depth']))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=EPSILON) if config['finalNorm'] else nn.Identity()

    def forward(self, patches, index, views=1):
        x = self.patch_embed(take(patches, index)) + self.positions[index]
        x = x.reshape(x.shape[0] * views, x.shape[1] // views, x.shape[2])
        if hasattr(self, 'cls_token'):
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Fusion(nn.Module):
    def __init__(self, encoder, config):
        super().__init__()
        width, heads, ratio = encoder['width'], encoder['heads'], encoder['mlpRatio']
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(config['depth']))
        self.norm = nn.LayerNorm(width, eps=EPSILON) if config['finalNorm'] else nn.Identity()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Decoder(nn.Module):
    def __init__(self, kind, grid, values, encoder, config, diffused):
        super().__init__()
        width, heads, depth, ratio = config['width'], config['heads'], config['depth'], encoder['mlpRatio']
        self.kind = kind
        self.register_buffer('positions', positions(grid, width), persistent=False)
        self.embed = nn.Linear(encoder['width'], width)
        if diffused:
            self.noised_embed = nn.Linear(values, width)
        else:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        if kind == 'cross':
            self.context_norm = nn.LayerNorm(width, eps=EPSILON)
        self.blocks = nn.ModuleList(self.block(i, grid, width, heads, ratio, config) for i in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.head = nn.Linear(width, values)

    def block(self, i, grid, width, heads, ratio, config):
        if self.kind == 'window':
            shift = config['shift'] if i % 2 else [0, 0]
            return WindowBlock(width, heads, ratio, grid, config['window'], shift)
        return Block(width, heads, ratio, CrossAttention if self.kind == 'cross' else SelfAttention)

    def forward(self, visible, noised, order, restore):
        count = visible.shape[1]
        shown, hidden = order[:, :count], order[:, count:]
        y = self.embed(visible) + self.positions[shown]
        x = (self.mask_token if noised is None else self.noised_embed(noised)) + self.positions[hidden]
        if self.kind == 'cross':
            y = self.context_norm(y)
            for block in self.blocks:
                x = block(x, y)
        else:
            x = take(torch.cat([y, x], dim=1), restore)
            for block in self.blocks:
                x = block(x)
            x = take(x, hidden)
        return self.head(self.norm(x))


def noise_levels(masked):
    """sqrt(abar_t) and sqrt(1 - abar_t) at index t - 1: float32 [2, T]."""
    beta = torch.linspace(masked['betaStart'], masked['betaEnd'], masked['timesteps'], dtype=torch.float64)
    abar = torch.cumprod(1 - beta ** masked['exponent'], dim=0)
    return torch.stack([abar.sqrt(), (1 - abar).sqrt()]).float()


def info_nce(queries, keys, temperature):
    similarity = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).T
    return F.cross_entropy(similarity / temperature, torch.arange(len(queries), device=queries.device))


class DiffMavil(nn.Module):
    """Both modalities, all frames predicted, as in the presets tiny, small and base; other configurations are refused."""

    def __init__(self, config):
        super().__init__()
        audio, video, encoder, decoder = (config[k] for k in ('audio', 'video', 'encoder', 'decoder'))
        assert audio and video and config['fusion']['kind'] == 'joint'
        assert video['predictFrames'] == video['frames'] and not config['loss']['normalizeTargets']
        self.config = config
        side = video['size'] // video['patch']
        grids = {
            'audio': [audio['frames'] // audio['patch'], audio['mels'] // audio['patch']],
            'video': [video['frames'] // video['tubelet'], side, side],
        }
        values = {'audio': audio['patch'] ** 2, 'video': video['tubelet'] * video['patch'] ** 2 * 3}
        diffused = config['masked']['kind'] == 'diffused'
        for m in ('audio', 'video'):
            kind = decoder[f'{m}Attention']
            setattr(self, f'{m}_encoder', Encoder(values[m], grids[m], encoder))
            setattr(self, f'{m}_decoder', Decoder(kind, grids[m], values[m], encoder, decoder, diffused))
        self.fusion = Fusion(encoder, config['fusion'])
        levels = noise_levels(config['masked']) if diffused else None
        self.register_buffer('levels', levels, persistent=False)

    def drop_class_token(self, tokens):
        return tokens[:, 1:] if self.config['encoder']['classToken'] else tokens

    def forward(self, batch, mask_ratio):
        """batch: {'audio.patches' [B, N, P], 'audio.order' [B, N], 'audio.timestep' [B], 'audio.noise' [B, M, P], …} -> loss."""
        config, loss = self.config, self.config['loss']
        first, second, count = {}, {}, {}
        for m in ('audio', 'video'):
            patches, order = batch[f'{m}.patches'], batch[f'{m}.order']
            count[m] = k = math.floor(patches.shape[1] * (1 - mask_ratio) + 1e-9)
            encoder = getattr(self, f'{m}_encoder')
            views = 2 if loss['intraWeight'] > 0 else 1
            seen = encoder(patches, order[:, : views * k], views).unflatten(0, (-1, views))
            first[m] = seen[:, 0]
            if views > 1:
                second[m] = seen[:, 1]

        fused = self.fusion(torch.cat([first['audio'], first['video']], dim=1))
        split = first['audio'].shape[1]
        total = 0.0
        for m, tokens in (('audio', fused[:, :split]), ('video', fused[:, split:])):
            order = batch[f'{m}.order']
            target = take(batch[f'{m}.patches'], order[:, count[m] :])
            noised = None
            if self.levels is not None:
                signal, noise = self.levels[:, batch[f'{m}.timestep'] - 1][:, :, None, None]
                noised = signal * target + noise * batch[f'{m}.noise']
            decoder = getattr(self, f'{m}_decoder')
            prediction = decoder(self.drop_class_token(tokens), noised, order, batch[f'{m}.restore'])
            total = total + loss[f'{m}Weight'] * F.mse_loss(prediction.float(), target)

        pooled = {m: self.drop_class_token(tokens).mean(dim=1) for m, tokens in first.items()}
        if loss['interWeight'] > 0:
            inter = info_nce(pooled['audio'], pooled['video'], loss['interTemperature'])
            total = total + loss['interWeight'] * inter
        if loss['intraWeight'] > 0:
            terms = [
                info_nce(pooled[m], self.drop_class_token(second[m]).mean(dim=1), loss['intraTemperature'])
                for m in second
            ]
            total = total + loss['intraWeight'] * sum(terms) / len(terms)
        return total
