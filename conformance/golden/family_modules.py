# SPDX-License-Identifier: Apache-2.0
"""The parts of `family.py`: encoders, fusions and decoder blocks that the paper's own model does not have.

Written from the papers, not from the TypeScript: MAViL §3.1 and MBT (bottleneck fusion), CAV-MAE (one block with three
sets of norms), AudioMAE (Swin-V2-CR blocks: cosine attention, log-spaced position bias, norms after the branches),
Audiovisual MAE (shared stacks), AST and DeiT (distillation token).

Versions: Python 3.11, torch 2.13.0 (CPU). Legend: B batch, N tokens, C width.
"""

import torch
from diffmavil import Block, CrossBlock, SelfAttention, WindowBlock, take
from torch import nn


class Stack(nn.Module):
    """Blocks one after another, then a LayerNorm if there is one and it is not skipped: [B, N, C] -> [B, N, C]."""

    skip_norm = False

    def __init__(self, blocks, norm_width=None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if norm_width:
            self.norm = nn.LayerNorm(norm_width)

    def forward(self, x, *context):
        for block in self.blocks:
            x = block(x, *context)
        return self.norm(x) if hasattr(self, 'norm') and not self.skip_norm else x


def parameter(width):
    return nn.Parameter(torch.zeros(1, 1, width))


class Placed(Stack):
    """A stack with the positions and the modality token of one modality."""

    def __init__(self, table, learned, modality_token, *stack):
        super().__init__(*stack)
        if learned:
            self.positions = nn.Parameter(table[None].float())
        else:
            self.register_buffer('positions', table[None], persistent=False)
        if modality_token:
            self.modality_token = parameter(table.shape[1])

    def place(self, tokens, index):
        """tokens [B, K, C] at index [B, K] -> with their positions and the modality token."""
        tokens = tokens + self.positions[0][index]
        return tokens + self.modality_token if hasattr(self, 'modality_token') else tokens


class Encoder(Placed):
    """Patches -> [class token, distillation token, visible patches], then the blocks it has of its own."""

    def __init__(self, patch_values, table, config, *stack):
        super().__init__(table, config['positions'] == 'learned', config['modalityToken'], *stack)
        width = config['width']
        self.patch_embed = nn.Linear(patch_values, width)
        if config['classToken']:
            self.cls_token = parameter(width)
        if config['distillationToken']:
            self.dist_token = parameter(width)

    def forward(self, patches, index):
        x = self.place(self.patch_embed(take(patches, index)), index)
        leading = [getattr(self, name) for name in ('cls_token', 'dist_token') if hasattr(self, name)]
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in leading), x], dim=1)
        return super().forward(x)


# ---------------------------------------------------------------------------------------------- fusions


class JointFusion(Stack):
    """MAViL §3.1: blocks over the concatenation, audio first."""

    def forward(self, tokens):
        return super().forward(torch.cat(tokens, dim=1)).split([t.shape[1] for t in tokens], dim=1)


class BottleneckFusion(nn.Module):
    """MAViL §3.1, MBT: each modality attends to itself and to a few tokens it shares with the other.

    a||b -> a', b_a by the audio block, v||b -> v', b_v by the video block, b <- (b_a + b_v) / 2.
    """

    def __init__(self, audio_blocks, video_blocks, bottlenecks, width, final_norm):
        super().__init__()
        self.bottleneck = nn.Parameter(torch.zeros(1, bottlenecks, width))
        self.audio_blocks = nn.ModuleList(audio_blocks)
        self.video_blocks = nn.ModuleList(video_blocks)
        if final_norm:
            self.norm = nn.LayerNorm(width)

    def forward(self, tokens):
        audio, video = tokens
        shared = self.bottleneck.expand(len(audio), -1, -1)
        for audio_block, video_block in zip(self.audio_blocks, self.video_blocks):
            own_audio = audio_block(torch.cat([audio, shared], dim=1))
            own_video = video_block(torch.cat([video, shared], dim=1))
            audio, from_audio = own_audio[:, : audio.shape[1]], own_audio[:, audio.shape[1] :]
            video, from_video = own_video[:, : video.shape[1]], own_video[:, video.shape[1] :]
            shared = (from_audio + from_video) / 2
        return [self.norm(x) if hasattr(self, 'norm') else x for x in (audio, video)]


class NormsBlock(Block):
    """CAV-MAE: one attention and one MLP, and a pair of norms for each stream: '' joint, '_audio', '_video'."""

    def __init__(self, width, heads, ratio):
        super().__init__(width, heads, ratio)
        for stream in ('_audio', '_video'):
            setattr(self, f'norm1{stream}', nn.LayerNorm(width))
            setattr(self, f'norm2{stream}', nn.LayerNorm(width))

    def forward(self, x, stream):
        x = x + self.attn(getattr(self, f'norm1{stream}')(x))
        return x + self.mlp(getattr(self, f'norm2{stream}')(x))


class NormsFusion(nn.Module):
    """CAV-MAE: the joint stream goes to the decoders; each modality alone, with its norms, to the contrast."""

    def __init__(self, blocks, width, final_norm):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm
        if final_norm:
            for stream in ('', '_audio', '_video'):
                setattr(self, f'norm{stream}', nn.LayerNorm(width))

    def stream(self, x, stream):
        for block in self.blocks:
            x = block(x, stream)
        return getattr(self, f'norm{stream}')(x) if self.final_norm else x

    def forward(self, tokens):
        return self.stream(torch.cat(tokens, dim=1), '').split([t.shape[1] for t in tokens], dim=1)


def make_fusion(config):
    """The fusion of a configuration, or None."""
    encoder, fusion = config['encoder'], config['fusion']
    width, kind = encoder['width'], fusion['kind']

    def blocks(make=Block):
        return [make(width, encoder['heads'], encoder['mlpRatio']) for _ in range(fusion['depth'])]

    if kind == 'joint':
        return JointFusion(blocks(), width if fusion['finalNorm'] else None)
    if kind == 'bottleneck':
        return BottleneckFusion(blocks(), blocks(), fusion['bottlenecks'], width, fusion['finalNorm'])
    if kind == 'modality-norms':
        return NormsFusion(blocks(NormsBlock), width, fusion['finalNorm'])
    assert kind == 'none'
    return None


# ---------------------------------------------------------------------------------------------- decoder blocks


class OffsetMlp(nn.Module):
    """Offset of query and key, each axis as sign(d) ln(1 + |d|) -> one bias per head."""

    def __init__(self, heads):
        super().__init__()
        self.fc1 = nn.Linear(2, 384)
        self.fc2 = nn.Linear(384, heads)

    def forward(self, offset):
        return self.fc2(torch.relu(self.fc1(offset.sign() * torch.log1p(offset.abs()))))


class CosineAttention(SelfAttention):
    """Weights of Swin-V2-CR's attention: a temperature per head and the MLP of the position bias."""

    def __init__(self, width, heads):
        super().__init__(width, heads)
        self.tau = nn.Parameter(torch.ones(heads))
        self.bias_mlp = OffsetMlp(heads)


class CosineWindowBlock(WindowBlock):
    """AudioMAE's decoder block: windows as in Swin, cosine attention, the norms after the branches."""

    def __init__(self, width, heads, ratio, grid, window, shift):
        super().__init__(width, heads, ratio, grid, window, shift)
        del self.rel_bias
        self.attn = CosineAttention(width, heads)

    def attention_bias(self):
        dtype = self.attn.tau.dtype
        offsets = torch.stack(self.offsets(), dim=-1).to(dtype)
        return self.attn.bias_mlp(offsets).permute(2, 0, 1)[None] + self.seam_mask(dtype)[:, None]

    def cosine_attend(self, query, key, value):
        """[B, windows, a * b, C] three times -> the same shape."""
        query, key, value = (x.unflatten(-1, (self.attn.heads, -1)).transpose(-3, -2) for x in (query, key, value))
        product = query @ key.transpose(-1, -2)
        lengths = query.norm(dim=-1)[..., :, None] * key.norm(dim=-1)[..., None, :]
        cosine = product / lengths.clamp(min=1e-6)
        scores = cosine / self.attn.tau[:, None, None].clamp(min=0.01) + self.attention_bias()
        return (scores.softmax(dim=-1) @ value).transpose(-3, -2).flatten(-2)

    def forward(self, x):
        sr, sc = self.shift
        rolled = self.attn.qkv(x).unflatten(1, self.grid).roll((-sr, -sc), (1, 2))
        mixed = self.unwindows(self.cosine_attend(*self.windows(rolled).chunk(3, dim=-1)))
        mixed = self.attn.proj(mixed.roll((sr, sc), (1, 2)).flatten(1, 2))
        x = x + self.norm1(mixed)
        return x + self.norm2(self.mlp(x))


def decoder_blocks(kind, grid, config):
    decoder, ratio = config['decoder'], config['encoder']['mlpRatio']
    sizes = decoder['width'], decoder['heads'], ratio
    if kind == 'cross':
        return [CrossBlock(*sizes) for _ in range(decoder['depth'])]
    if kind in ('window', 'cosine-window'):
        make = WindowBlock if kind == 'window' else CosineWindowBlock
        shifts = ([0, 0], decoder['shift'])
        return [make(*sizes, grid, decoder['window'], shifts[i % 2]) for i in range(decoder['depth'])]
    assert kind in ('self', 'global')
    return [Block(*sizes) for _ in range(decoder['depth'])]


class Decoder(Placed):
    """What a modality's decoder has of its own; with shared blocks that is little more than its head."""

    def __init__(self, kind, table, target_values, output_values, config, *stack):
        decoder = config['decoder']
        super().__init__(table, decoder['positions'] == 'learned', decoder['modalityToken'], *stack)
        width, joint = decoder['width'], decoder['sharing'] == 'joint'
        self.kind = kind
        if not joint:
            self.embed = nn.Linear(config['encoder']['width'], width)
        if config['masked']['kind'] == 'diffused':
            self.noised_embed = nn.Linear(target_values, width)
        elif not joint:
            self.mask_token = parameter(width)
        if kind == 'cross':
            self.context_norm = nn.LayerNorm(width)
        if decoder['classToken'] == 'learned':
            self.cls_token = parameter(width)
        self.head = nn.Linear(width, output_values)
