# SPDX-License-Identifier: Apache-2.0
"""DiffMAViL pre-training in plain PyTorch: the numbers our TypeScript model has to reproduce.

Written from the papers (arXiv 2310.03937, 2212.08071) and from the details the project pins in
docs (masking, positions, windows, losses), not from the TypeScript. Everything is computed in float64 from float32
inputs and stored as float32, so a fixture is exact to one rounding.

Versions: Python 3.11, torch 2.13.0 (CPU), numpy 2.4.6, safetensors 0.8.0.

Parameter names are those of `model.safetensors`; modules are named so that `named_parameters` yields them.
Legend: B batch, N tokens, K visible tokens, M = N - K masked tokens, C width, P values of a patch.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-6


# ---------------------------------------------------------------------------------------------- positions


def sin_cos(position, width):
    """[N] -> [N, width]: all sines, then all cosines, frequencies 10000^(-i / (width/2))."""
    half = width // 2
    omega = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = position.to(torch.float64)[:, None] * omega[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def sin_cos_2d(rows, columns, width):
    """[rows * columns, width], row-major; the first half of the width holds the column (MAE)."""
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    return torch.cat([sin_cos(column, width // 2), sin_cos(row, width // 2)], dim=1)


def audio_positions(grid, width):
    return sin_cos_2d(*grid, width)


def video_positions(grid, width):
    """Separable: spatial 2-D plus temporal 1-D, summed; tokens (t, h, w)-major."""
    times, rows, columns = grid
    spatial = sin_cos_2d(rows, columns, width).repeat(times, 1)
    temporal = sin_cos(torch.arange(times), width).repeat_interleave(rows * columns, dim=0)
    return spatial + temporal


# ---------------------------------------------------------------------------------------------- transformer


def attend(query, key, value, heads, bias=None):
    """[..., Q, C], [..., S, C], [..., S, C] -> [..., Q, C]; bias broadcasts over [..., heads, Q, S]."""

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(-3, -2)

    query, key, value = split(query), split(key), split(value)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(dim=-1) @ value).transpose(-3, -2).flatten(-2)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return self.proj(attend(query, key, value, self.heads))


class CrossAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, context):
        key, value = self.kv(context).chunk(2, dim=-1)
        return self.proj(attend(self.q(x), key, value, self.heads))


class Mlp(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        self.fc1 = nn.Linear(width, int(ratio * width))
        self.fc2 = nn.Linear(int(ratio * width), width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm block. Self-attention over everything it is given."""

    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, ratio)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class CrossBlock(nn.Module):
    """DiffMAViL §3: the masked patches query the visible ones, which stay as they are."""

    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, ratio)

    def forward(self, x, context):
        x = x + self.attn(self.norm1(x), context)
        return x + self.mlp(self.norm2(x))


class WindowBlock(Block):
    """Swin block on a [rows, columns] grid of tokens: roll, cut into windows, attend, put back, roll back.

    The window divides the grid; there is no shift along an axis whose grid is no longer than the window.
    """

    def __init__(self, width, heads, ratio, grid, window, shift):
        super().__init__(width, heads, ratio)
        self.grid, self.window = grid, window
        self.shift = [0 if n <= w else s for n, w, s in zip(grid, window, shift)]
        self.rel_bias = nn.Parameter(torch.zeros((2 * window[0] - 1) * (2 * window[1] - 1), heads))

    def windows(self, x):
        """[B, rows, columns, C] -> [B, windows, a * b, C]."""
        (rows, columns), (a, b) = self.grid, self.window
        x = x.reshape(x.shape[0], rows // a, a, columns // b, b, x.shape[-1])
        return x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)

    def unwindows(self, x):
        (rows, columns), (a, b) = self.grid, self.window
        x = x.unflatten(2, (a, b)).unflatten(1, (rows // a, columns // b))
        return x.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], rows, columns, x.shape[-1])

    def offsets(self):
        """Row and column distance of every pair in a window, query minus key: [a * b, a * b] each."""
        a, b = self.window
        row = torch.arange(a).repeat_interleave(b)
        column = torch.arange(b).repeat(a)
        return row[:, None] - row[None, :], column[:, None] - column[None, :]

    def seam_mask(self, dtype):
        """[windows, a * b, a * b]: -100 between tokens that the roll brought together, else 0."""
        (rows, columns), (a, b) = self.grid, self.window

        def bands(length, window, shift):
            place = torch.arange(length)
            return (place >= length - window).long() + (place >= length - shift).long() if shift else place * 0

        region = bands(rows, a, self.shift[0])[:, None] * 3 + bands(columns, b, self.shift[1])[None, :]
        region = self.windows(region[None, :, :, None])[0, :, :, 0]
        return (region[:, :, None] != region[:, None, :]) * torch.tensor(-100.0, dtype=dtype)

    def attention_bias(self):
        """[windows, heads, a * b, a * b]: relative position, and -100 across the seam of the roll."""
        a, b = self.window
        row_distance, column_distance = self.offsets()
        index = (row_distance + a - 1) * (2 * b - 1) + column_distance + b - 1
        relative = self.rel_bias[index].permute(2, 0, 1)
        return relative[None] + self.seam_mask(relative.dtype)[:, None]

    def forward(self, x):
        sr, sc = self.shift
        rolled = self.attn.qkv(self.norm1(x)).unflatten(1, self.grid).roll((-sr, -sc), (1, 2))
        query, key, value = self.windows(rolled).chunk(3, dim=-1)
        mixed = attend(query, key, value, self.attn.heads, self.attention_bias())
        mixed = self.unwindows(mixed).roll((sr, sc), (1, 2)).flatten(1, 2)
        x = x + self.attn.proj(mixed)
        return x + self.mlp(self.norm2(x))


# ---------------------------------------------------------------------------------------------- modules


def take(x, index):
    """[B, N, C], [B, K] -> [B, K, C]"""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[-1]))


class Encoder(nn.Module):
    """ViT over the visible patches only; returns class token (if any) first."""

    def __init__(self, patch_values, positions, config):
        super().__init__()
        width = config['width']
        self.register_buffer('positions', positions, persistent=False)
        self.patch_embed = nn.Linear(patch_values, width)
        if config['classToken']:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(
            Block(width, config['heads'], config['mlpRatio']) for _ in range(config['depth'])
        )
        if config['finalNorm']:
            self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, patches, index):
        x = self.patch_embed(take(patches, index)) + self.positions[index]
        if hasattr(self, 'cls_token'):
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) if hasattr(self, 'norm') else x


class Fusion(nn.Module):
    """MAViL §3.1, joint: blocks over the concatenation, audio first; a single modality is mixed with itself."""

    def __init__(self, width, heads, ratio, config):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(config['depth']))
        if config['finalNorm']:
            self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, tokens):
        x = torch.cat(tokens, dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x) if hasattr(self, 'norm') else x
        return x.split([t.shape[1] for t in tokens], dim=1)


class Decoder(nn.Module):
    """Visible tokens + diffused (or mask) tokens -> predicted values of the masked patches [B, M, P]."""

    def __init__(self, kind, grid, positions, target_values, encoder_width, ratio, config, diffused):
        super().__init__()
        width, heads, depth = config['width'], config['heads'], config['depth']
        self.kind = kind
        self.register_buffer('positions', positions, persistent=False)
        self.embed = nn.Linear(encoder_width, width)
        if diffused:
            self.noised_embed = nn.Linear(target_values, width)
        else:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        if kind == 'cross':
            self.context_norm = nn.LayerNorm(width, eps=EPSILON)
            blocks = [CrossBlock(width, heads, ratio) for _ in range(depth)]
        elif kind == 'window':
            window, shift = config['window'], config['shift']
            blocks = [
                WindowBlock(width, heads, ratio, grid, window, shift if i % 2 else [0, 0]) for i in range(depth)
            ]
        else:
            blocks = [Block(width, heads, ratio) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.head = nn.Linear(width, target_values)

    def forward(self, visible, noised, order):
        count = visible.shape[1]
        shown, hidden = order[:, :count], order[:, count:]
        y = self.embed(visible) + self.positions[shown]
        tokens = self.noised_embed(noised) if noised is not None else self.mask_token
        x = tokens + self.positions[hidden]
        if self.kind == 'cross':
            y = self.context_norm(y)
            for block in self.blocks:
                x = block(x, y)
        else:
            restore = order.argsort(dim=1)
            x = take(torch.cat([y, x], dim=1), restore)
            for block in self.blocks:
                x = block(x)
            x = take(x, hidden)
        return self.head(self.norm(x))


# ---------------------------------------------------------------------------------------------- losses, diffusion


def alpha_bars(masked):
    """DiffMAViL app. C: beta linear in t = 1..T, raised to the exponent, then the cumulative product of 1 - b."""
    beta = torch.linspace(masked['betaStart'], masked['betaEnd'], masked['timesteps'], dtype=torch.float64)
    return torch.cumprod(1 - beta ** masked['exponent'], dim=0)


def reconstruction_loss(prediction, target, normalize):
    """Mean over masked patches and their values; optionally against values normalised per patch (unbiased variance)."""
    if normalize:
        mean = target.mean(dim=-1, keepdim=True)
        variance = target.var(dim=-1, keepdim=True, unbiased=True)
        target = (target - mean) / (variance + EPSILON).sqrt()
    return (prediction - target).square().mean()


def info_nce(queries, keys, temperature):
    """MAViL eq. 2, one direction: each query against the keys of the whole batch, cosine similarity."""
    similarity = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).T
    return F.cross_entropy(similarity / temperature, torch.arange(len(queries)))


def visible_count(tokens, mask_ratio):
    return math.floor(tokens * (1 - mask_ratio) + 1e-9)


# ---------------------------------------------------------------------------------------------- the whole step


def audio_grid(audio):
    return [audio['frames'] // audio['patch'], audio['mels'] // audio['patch']]


def video_grid(video):
    side = video['size'] // video['patch']
    return [video['frames'] // video['tubelet'], side, side]


def select_target(patches, video):
    """Of each tubelet the values to predict: all of them, or those of one frame (SpatiotemporalMAE).

    The frames are trunc(linspace(0, frames - 1, predictFrames)), in exact integer arithmetic.
    """
    frames, tubelet, count = video['frames'], video['tubelet'], video['predictFrames']
    if count == frames:
        return patches
    times = frames // tubelet
    assert count == times
    values = patches.shape[-1] // tubelet
    per_time = patches.shape[1] // times
    kept = [i * (frames - 1) // max(count - 1, 1) for i in range(count)]
    assert [f // tubelet for f in kept] == list(range(times))
    inside = torch.tensor([f % tubelet for f in kept]).repeat_interleave(per_time)
    split = patches.unflatten(-1, (tubelet, values))
    return split.gather(2, inside[None, :, None, None].expand(split.shape[0], -1, 1, values)).squeeze(2)


class DiffMavil(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        encoder, decoder, ratio = config['encoder'], config['decoder'], config['encoder']['mlpRatio']
        diffused = config['masked']['kind'] == 'diffused'
        audio, video = config['audio'], config['video']
        self.modalities = [m for m in ('audio', 'video') if config[m]]
        if audio:
            grid, values = audio_grid(audio), audio['patch'] ** 2
            self.audio_encoder = Encoder(values, audio_positions(grid, encoder['width']), encoder)
            self.audio_decoder = Decoder(
                decoder['audioAttention'], grid, audio_positions(grid, decoder['width']), values,
                encoder['width'], ratio, decoder, diffused,
            )  # fmt: skip
        if video:
            grid, frame_values = video_grid(video), video['patch'] ** 2 * 3
            target_values = frame_values * (video['tubelet'] if video['predictFrames'] == video['frames'] else 1)
            self.video_encoder = Encoder(
                frame_values * video['tubelet'], video_positions(grid, encoder['width']), encoder
            )
            self.video_decoder = Decoder(
                decoder['videoAttention'], grid, video_positions(grid, decoder['width']), target_values,
                encoder['width'], ratio, decoder, diffused,
            )  # fmt: skip
        if config['fusion']['kind'] == 'joint':
            self.fusion = Fusion(encoder['width'], encoder['heads'], ratio, config['fusion'])
        if diffused:
            self.register_buffer('alpha_bar', alpha_bars(config['masked']), persistent=False)

    def pool(self, tokens):
        return tokens[:, 1:].mean(dim=1) if self.config['encoder']['classToken'] else tokens.mean(dim=1)

    def diffuse(self, clean, timestep, noise):
        """DiffMAViL app. B.2: x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise; t counts from 1."""
        if noise is None:
            return None
        abar = self.alpha_bar[timestep.long() - 1][:, None, None]
        return abar.sqrt() * clean + (1 - abar).sqrt() * noise

    def forward(self, inputs, mask_ratio):
        """inputs: {modality: {patches [B,N,P], order [B,N], timestep [B], noise [B,M,P]}} -> dict of outputs."""
        config, loss = self.config, self.config['loss']
        first, second, visible = {}, {}, {}
        for m in self.modalities:
            patches, order = inputs[m]['patches'], inputs[m]['order']
            visible[m] = visible_count(patches.shape[1], mask_ratio)
            encoder = getattr(self, f'{m}_encoder')
            first[m] = encoder(patches, order[:, : visible[m]])
            if loss['intraWeight'] > 0:
                second[m] = encoder(patches, order[:, visible[m] : 2 * visible[m]])

        fused = dict(first)
        if config['fusion']['kind'] == 'joint':
            fused = dict(zip(self.modalities, self.fusion([first[m] for m in self.modalities])))

        out, total = {}, 0.0
        for m in self.modalities:
            hidden = inputs[m]['order'][:, visible[m] :]
            target = inputs[m]['patches']
            target = take(select_target(target, config['video']) if m == 'video' else target, hidden)
            noised = self.diffuse(target, inputs[m].get('timestep'), inputs[m].get('noise'))
            tokens = fused[m][:, 1:] if config['encoder']['classToken'] else fused[m]
            prediction = getattr(self, f'{m}_decoder')(tokens, noised, inputs[m]['order'])
            out[f'loss.{m}'] = reconstruction_loss(prediction, target, loss['normalizeTargets'])
            out[f'{m}.embedding'] = self.pool(first[m])
            out[f'{m}.prediction'] = prediction
            total = total + loss[f'{m}Weight'] * out[f'loss.{m}']
        if len(self.modalities) == 2 and loss['interWeight'] > 0:
            audio, video = self.pool(first['audio']), self.pool(first['video'])
            out['loss.inter'] = info_nce(audio, video, loss['interTemperature'])
            total = total + loss['interWeight'] * out['loss.inter']
        if loss['intraWeight'] > 0:
            # MAViL eq. 4 averages the two modalities; Choice: with one modality it is that one's term.
            terms = [info_nce(self.pool(first[m]), self.pool(second[m]), loss['intraTemperature']) for m in second]
            out['loss.intra'] = torch.stack(terms).mean()
            total = total + loss['intraWeight'] * out['loss.intra']
        return {'loss': total, **out}
