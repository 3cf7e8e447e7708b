# SPDX-License-Identifier: Apache-2.0
"""Checks `family.py` itself: against `diffmavil.py`, token by token, and variants against each other.

Writes nothing; fails loudly. Versions: Python 3.11, torch 2.13.0 (CPU).
"""

import torch
from diffmavil import Block, DiffMavil, attend
from diffmavil_check import close, random_module
from diffmavil_trace import CASES as PAPER_CASES
from diffmavil_trace import seeded, to_double
from family import Family, kept_axes, round_count, visible_tokens
from family_cases import BASE, DIFFUSED, NO_CONTRAST, NO_FUSION, case
from family_modules import BottleneckFusion, CosineWindowBlock, JointFusion, NormsBlock, NormsFusion
from family_trace import random_inputs, random_model

torch.set_default_dtype(torch.float64)
torch.manual_seed(11)


def with_defaults(config):
    """A configuration of `diffmavil.py` with the fields it does not have."""
    full = {**BASE, **config}
    for section in ('audio', 'encoder', 'decoder', 'loss'):
        if config[section]:
            full[section] = {**BASE[section], **config[section]}
    if config['audio']:
        full['audio']['stride'] = config['audio']['patch']
    return full


def outputs_of(config, mask_ratio, batch, weights=None, change=None):
    """Outputs of a model with weights drawn by name, or with those given; `change` edits the inputs."""
    model, given, _ = random_model('check', Family(config))
    # inputs from a generator of their own: they must not depend on how many weights a variant has
    inputs = to_double(random_inputs(model, mask_ratio, batch, seeded('inputs')))
    if change:
        change(inputs)
    model = model.double()
    if weights:
        model.load_state_dict({k: weights(k, given) for k in given})
    return model(inputs, mask_ratio)


def check_paper_model():
    for name, (config, mask_ratio, batch) in PAPER_CASES.items():
        full = with_defaults(config)
        theirs, given, generator = random_model(name, Family(full))
        ours = DiffMavil(config)
        assert {k for k, _ in ours.named_parameters()} == given.keys(), name
        ours.load_state_dict(given)
        inputs = to_double(random_inputs(theirs, mask_ratio, batch, generator))
        expected, actual = ours.double()(inputs, mask_ratio), theirs.double()(inputs, mask_ratio)
        assert expected.keys() == actual.keys(), name
        for key, value in expected.items():
            close(actual[key], value)


def brute_force_cosine(block, x):
    """Token by token on the rolled grid, from the definition."""
    (rows, columns), (a, b), (sr, sc) = block.grid, block.window, block.shift
    heads, attn = block.attn.heads, block.attn
    tokens = [(r, c) for r in range(rows) for c in range(columns)]
    query, key, value = (t.unflatten(-1, (heads, -1)) for t in attn.qkv(x).chunk(3, dim=-1))

    def together(i, j):
        (r, c), (u, v) = tokens[i], tokens[j]
        window = (r - sr) % rows // a == (u - sr) % rows // a and (c - sc) % columns // b == (v - sc) % columns // b
        wrapped = sr > 0 and (r < sr) != (u < sr) or sc > 0 and (c < sc) != (v < sc)
        return window and not wrapped

    mixed = torch.zeros_like(value)
    for i, (r, c) in enumerate(tokens):
        mine = [j for j in range(len(tokens)) if together(i, j)]
        offsets = torch.tensor([[r - tokens[j][0], c - tokens[j][1]] for j in mine], dtype=x.dtype)
        bias = attn.bias_mlp.fc2(attn.bias_mlp.fc1(offsets.sign() * (1 + offsets.abs()).log()).relu())
        for h in range(heads):
            score = torch.cosine_similarity(query[:, i, None, h], key[:, mine, h], dim=-1, eps=1e-12)
            weight = (score / max(attn.tau[h].item(), 0.01) + bias[:, h]).softmax(dim=-1)
            mixed[:, i, h] = (weight[..., None] * value[:, mine, h]).sum(dim=1)
    x = x + block.norm1(attn.proj(mixed.flatten(-2)))
    return x + block.norm2(block.mlp(x))


def check_cosine_windows():
    sizes = [([8, 8], [4, 4], [2, 0]), ([8, 8], [4, 4], [2, 2]), ([12, 4], [4, 4], [2, 2]), ([8, 6], [4, 2], [1, 1]),
             ([8, 8], [4, 4], [0, 0]), ([7, 5], [7, 5], [2, 2])]  # fmt: skip
    for grid, window, shift in sizes:
        block = random_module(CosineWindowBlock(12, 3, 2, grid, window, shift))
        # a temperature near 0.01 would let the scores outweigh the mask of -100, which is not an exclusion
        block.attn.tau.data = torch.tensor([0.4, 1.3, 0.7 if any(block.shift) else -0.2])
        x = torch.randn(2, grid[0] * grid[1], 12)
        close(block(x), brute_force_cosine(block, x), 1e-10)


def check_bottleneck():
    # equal weights: one self-attention over a, b, v, b that is blind from one half to the other
    block = random_module(Block(12, 3, 2))
    fusion = random_module(BottleneckFusion([block], [block], 2, 12, False))
    audio, video = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    shared = fusion.bottleneck.expand(2, -1, -1)
    together = torch.cat([audio, shared, video, shared], dim=1)
    half = torch.tensor([0] * 7 + [1] * 9)
    blind = torch.where(half[:, None] == half[None, :], 0.0, -torch.inf)
    x = together + block.attn.proj(attend(*block.attn.qkv(block.norm1(together)).chunk(3, dim=-1), 3, blind))
    x = x + block.mlp(block.norm2(x))
    close(torch.cat(fusion([audio, video]), dim=1), torch.cat([x[:, :5], x[:, 7:14]], dim=1))
    # two layers: the second reads the mean of what the first left in the two copies
    double = BottleneckFusion([block, block], [block, block], 2, 12, False)
    double.bottleneck = fusion.bottleneck
    after = BottleneckFusion([block], [block], 2, 12, False)
    after.bottleneck = torch.nn.Parameter((x[:1, 5:7] + x[:1, 14:]) / 2)
    close(double([audio[:1], video[:1]])[0], after([x[:1, :5], x[:1, 7:14]])[0])


def check_modality_norms():
    blocks = [random_module(NormsBlock(12, 3, 2)) for _ in range(2)]
    fusion, joint = NormsFusion(blocks, 12, True), JointFusion(blocks, 12)
    for block in joint.blocks:  # a plain block reads norm1 and norm2
        block.forward = lambda x, stream='', block=block: NormsBlock.forward(block, x, stream)
    tokens = [torch.randn(2, 5, 12), torch.randn(2, 7, 12)]
    for module in random_module(fusion).modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    joint.norm = fusion.norm
    close(torch.cat(fusion(tokens), dim=1), torch.cat(joint(tokens), dim=1))
    for part in (*blocks, fusion):
        for name in [n for n, _ in part.named_children() if n.endswith('_audio')]:
            getattr(part, name).load_state_dict(getattr(part, name.removesuffix('_audio')).state_dict())
    close(fusion.stream(tokens[0], '_audio'), torch.cat(joint(tokens[:1]), dim=1))
    assert (fusion.stream(tokens[0], '_video') - fusion.stream(tokens[0], '_audio')).abs().max() > 0.1


def check_sharing():
    # shared stacks are separate ones with equal weights
    encoder = {'depth': 2, 'classToken': True}
    for masked in ({'kind': 'mask-token'}, DIFFUSED):
        rest = {'masked': masked, 'batch': 2}
        shared = case(encoder={**encoder, 'sharing': 'shared'}, decoder={'sharing': 'shared', 'depth': 2}, **rest)
        separate = case(encoder=encoder, decoder={'depth': 2}, **rest)
        _, weights, _ = random_model('check', Family(shared[0]))

        def copied(name, own, weights=weights):
            for part in ('encoder', 'decoder'):
                for modality in ('audio', 'video'):
                    stacked = name.replace(f'{modality}_{part}.', f'shared_{part}.')
                    if stacked in weights:
                        return weights[stacked]
            return weights[name]

        expected, actual = outputs_of(*shared), outputs_of(*separate, weights=copied)
        for key, value in expected.items():
            close(actual[key], value)


def check_joint_decoder():
    # without attention every token is alone, so one pass over both equals two passes
    joint, shared = case(decoder={'sharing': 'joint'}), case(decoder={'sharing': 'shared'})
    _, weights, _ = random_model('check', Family(joint[0]))
    weights = {k: v * (0 if 'decoder.blocks.0.attn.proj' in k else 1) for k, v in weights.items()}

    def from_joint(name, _):
        at_shared = 'shared_decoder.' + name.split('.', 1)[1]
        return weights.get(name, weights.get(at_shared))

    expected, actual = outputs_of(*joint, weights=from_joint), outputs_of(*shared, weights=from_joint)
    for key, value in expected.items():
        close(actual[key], value)


def check_inpainting():
    # what is visible of sound is not read when sound is inpainted, and the other way round
    def louder(inputs):
        inputs['audio']['patches'] *= 2

    for attention in ('self', 'cross'):
        decoder = {'context': 'other-modality', 'videoAttention': attention}
        sizes = case(fusion=NO_FUSION, decoder=decoder, loss=NO_CONTRAST)
        before, after = outputs_of(*sizes), outputs_of(*sizes, change=louder)
        close(after['audio.prediction'], before['audio.prediction'])
        assert (after['video.prediction'] - before['video.prediction']).abs().max() > 1e-3
        plain = case(fusion=NO_FUSION, decoder={**decoder, 'context': 'fused'}, loss=NO_CONTRAST)
        before, after = outputs_of(*plain), outputs_of(*plain, change=louder)
        close(after['video.prediction'], before['video.prediction'])


def check_masks():
    # MAViL's 157 of 784 tokens and DiffMAViL's 314 of 1568 are rounded; every public code has 156 and 313
    counts = [(784, 0.8), (1568, 0.8), (512, 0.8), (15, 0.9)]
    assert [round_count(n * (1 - r), 'nearest') for n, r in counts] == [157, 314, 102, 2]
    assert [round_count(n * (1 - r), 'floor') for n, r in counts] == [156, 313, 102, 1]
    audio = {'frames': 1024, 'mels': 128, 'patch': 16, 'stride': 16}

    def config(kind, rounding='floor'):
        return {'audio': audio, 'masking': {'audio': kind, 'rounding': rounding}}

    assert kept_axes(config('time'), {'audio': 0.7}) == (19, 8)
    assert kept_axes(config('frequency'), 0.7) == (64, 2)
    assert kept_axes(config('time-frequency'), 0.75) == (32, 4)
    assert visible_tokens(config('time-frequency', 'nearest'), 'audio', 0.7) == 35 * 4


if __name__ == '__main__':
    for check in (check_paper_model, check_cosine_windows, check_bottleneck, check_modality_norms, check_sharing,
                  check_joint_decoder, check_inpainting, check_masks):  # fmt: skip
        check()
        print('ok', check.__name__)
