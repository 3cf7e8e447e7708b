# SPDX-License-Identifier: Apache-2.0
"""As interop.py, for repositories without a library: AudioMAE, MAViL's inference copy, SpatiotemporalMAE (mae_st), CAV-MAE.

Their forward passes are written here from the papers (arXiv 2207.06405, 2212.08071, 2205.09113, 2210.07839) and the names
of the weights in the released checkpoints, as functions of a state dict; nothing of their code is used. Names are those
of the checkpoints; a config.json gives what the weights of a tiny model do not show. torch 2.13.0, safetensors 0.8.0.
"""
import torch
from torch.nn import functional as F

from cosine_window import block as window_block
from interop import inputs, randomize, write

WIDTH, HEADS, NARROW, NARROW_HEADS = 16, 2, 12, 2
SIZES = {'num_attention_heads': HEADS, 'decoder_num_attention_heads': NARROW_HEADS}


def linear(name, out, into):
    return {f'{name}.weight': (out, into), f'{name}.bias': (out,)}


def norm(name, width):
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def block(name, width, norms=('norm1', 'norm2'), split=False):
    qkv = {key: shape for part in 'qkv' for key, shape in linear(f'{name}.attn.{part}', width, width).items()} if split \
        else linear(f'{name}.attn.qkv', 3 * width, width)
    shapes = qkv | linear(f'{name}.attn.proj', width, width)
    shapes |= linear(f'{name}.mlp.fc1', 2 * width, width) | linear(f'{name}.mlp.fc2', width, 2 * width)
    for each in norms:
        shapes |= norm(f'{name}.{each}', width)
    return shapes


def blocks(name, depth, width, **options):
    return {key: shape for i in range(depth) for key, shape in block(f'{name}.{i}', width, **options).items()}


def drawn(shapes, seed):
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    randomize(weights, seed)
    return weights


def apply_linear(w, name, x):
    return F.linear(x, w[f'{name}.weight'], w[f'{name}.bias'])


def apply_norm(w, name, x, epsilon=1e-6):
    return F.layer_norm(x, x.shape[-1:], w[f'{name}.weight'], w[f'{name}.bias'], epsilon)


def apply_block(w, name, x, heads, norms=('norm1', 'norm2'), epsilon=1e-6):
    batch, tokens, width = x.shape
    y = apply_norm(w, f'{name}.{norms[0]}', x, epsilon)
    if f'{name}.attn.qkv.weight' in w:
        parts = apply_linear(w, f'{name}.attn.qkv', y).split(width, dim=2)
    else:
        parts = [apply_linear(w, f'{name}.attn.{part}', y) for part in 'qkv']
    q, k, v = [part.reshape(batch, tokens, heads, width // heads).transpose(1, 2) for part in parts]
    scores = (q @ k.transpose(2, 3)) / (width // heads) ** 0.5
    mixed = (scores.softmax(3) @ v).transpose(1, 2).reshape(batch, tokens, width)
    x = x + apply_linear(w, f'{name}.attn.proj', mixed)
    y = apply_norm(w, f'{name}.{norms[1]}', x, epsilon)
    return x + apply_linear(w, f'{name}.mlp.fc2', F.gelu(apply_linear(w, f'{name}.mlp.fc1', y)))


def apply_blocks(w, name, depth, x, heads, **options):
    for i in range(depth):
        x = apply_block(w, f'{name}.{i}', x, heads, **options)
    return x


def embed(w, name, x):
    """Convolution as long as its kernel: [batch, channels, ...] -> [batch, tokens, width]."""
    kernel = w[f'{name}.proj.weight']
    convolve = F.conv3d if kernel.ndim == 5 else F.conv2d
    return convolve(x, kernel, w[f'{name}.proj.bias'], stride=kernel.shape[2:]).flatten(2).transpose(1, 2)


def with_token(token, x):
    return torch.cat([token.expand(len(x), -1, -1), x], 1)


def pick(x, indices):
    return x.gather(1, indices[:, :, None].expand(-1, -1, x.shape[2]))


def unshuffled(visible, mask_token, order):
    """Visible tokens and mask tokens, back in the order of the grid."""
    hidden = mask_token.expand(len(visible), order.shape[1] - visible.shape[1], -1)
    return pick(torch.cat([visible, hidden], 1), order.argsort(1))


def audiomae():
    """Class token, window decoder without it; tables are loaded as they are, whatever grid they were made on."""
    decoder = {key: shape for i in range(2) for key, shape in block(f'decoder_blocks.{i}', NARROW).items()}
    for i in range(2):
        decoder |= {f'decoder_blocks.{i}.attn.tau': (NARROW_HEADS,)}
        decoder |= linear(f'decoder_blocks.{i}.attn.meta_mlp.fc1', 384, 2)
        decoder |= linear(f'decoder_blocks.{i}.attn.meta_mlp.fc2', NARROW_HEADS, 384)
    w = drawn({
        'cls_token': (1, 1, WIDTH), 'pos_embed': (1, 33, WIDTH), 'patch_embed.proj.weight': (WIDTH, 1, 4, 4),
        'patch_embed.proj.bias': (WIDTH,), 'mask_token': (1, 1, NARROW), 'decoder_pos_embed': (1, 33, NARROW),
        **blocks('blocks', 2, WIDTH), **norm('norm', WIDTH), **linear('decoder_embed', NARROW, WIDTH), **decoder,
        **norm('decoder_norm', NARROW), **linear('decoder_pred', 16, NARROW),
    }, 21)
    for i in range(2):
        w[f'decoder_blocks.{i}.attn.tau'].copy_(torch.tensor([0.5, 0.25 + i]))
    mel = inputs(31, 2, 32, 16)  # 8 x 4 tokens: windows of 4 x 4
    order = inputs(32, 2, 32).argsort(1)

    def encode(indices):
        x = pick(embed(w, 'patch_embed', mel[:, None]) + w['pos_embed'][:, 1:], indices)
        x = with_token(w['cls_token'] + w['pos_embed'][:, :1], x)
        return apply_norm(w, 'norm', apply_blocks(w, 'blocks', 2, x, HEADS))

    x = apply_linear(w, 'decoder_embed', encode(order[:, :8])[:, 1:])
    x = unshuffled(x, w['mask_token'], order) + w['decoder_pos_embed'][:, 1:]
    for i in range(2):
        own = {key[len(f'decoder_blocks.{i}.'):].replace('meta_mlp', 'bias_mlp'): value
               for key, value in w.items() if key.startswith(f'decoder_blocks.{i}.')}
        x = window_block(x, own, (8, 4), (4, 4), (2, 0) if i % 2 else (0, 0))
    prediction = apply_linear(w, 'decoder_pred', apply_norm(w, 'decoder_norm', x))
    write('audiomae', w, SIZES | {'num_mel_bins': 16}, {
        'audio': mel, 'features': encode(torch.arange(32).expand(2, 32)), 'order': order.int(),
        'prediction': pick(prediction, order[:, 8:]),
    })


def mavil():
    """Two ViTs and joint blocks without norms around them; the fine-tuned head reads both means side by side."""
    w = drawn({
        'cls_token': (1, 1, WIDTH), 'pos_embed': (1, 13, WIDTH), 'patch_embed.proj.weight': (WIDTH, 1, 4, 4),
        'patch_embed.proj.bias': (WIDTH,), 'cls_token_v': (1, 1, WIDTH), 'pos_embed_v': (1, 9, WIDTH),
        'patch_embed_v.proj.weight': (WIDTH, 3, 2, 4, 4), 'patch_embed_v.proj.bias': (WIDTH,),
        **blocks('blocks', 2, WIDTH), **blocks('blocks_v', 2, WIDTH), **blocks('blocks_av', 2, WIDTH),
        **norm('fc_norm_av', 2 * WIDTH), **linear('head_av', 3, 2 * WIDTH),
    }, 22)
    mel, frames = inputs(33, 2, 24, 8), inputs(34, 2, 4, 8, 8, 3)
    a = with_token(w['cls_token'] + w['pos_embed'][:, :1], embed(w, 'patch_embed', mel[:, None]) + w['pos_embed'][:, 1:])
    v = embed(w, 'patch_embed_v', frames.permute(0, 4, 1, 2, 3)) + w['pos_embed_v'][:, 1:]
    v = with_token(w['cls_token_v'] + w['pos_embed_v'][:, :1], v)
    a, v = apply_blocks(w, 'blocks', 2, a, HEADS), apply_blocks(w, 'blocks_v', 2, v, HEADS)
    fused = apply_blocks(w, 'blocks_av', 2, torch.cat([a, v], 1), HEADS)
    means = torch.cat([fused[:, 1:13].mean(1), fused[:, 14:].mean(1)], 1)
    logits = apply_linear(w, 'head_av', apply_norm(w, 'fc_norm_av', means))
    # Wrapped for several devices, as such files are.
    write('mavil', {f'module.{name}': value for name, value in w.items()}, SIZES | {'num_mel_bins': 8, 'image_size': 8}, {
        'audio': mel, 'video': frames, 'audio_features': a, 'video_features': v, 'audio_fused': fused[:, :13],
        'video_fused': fused[:, 13:], 'logits': logits,
    })


def mae_st():
    """Tables over space and time; the decoder has a class token of its own and predicts one frame of each tubelet."""
    tables = {f'{part}pos_embed_{over}': (1, count, width)
              for part, width in (('', WIDTH), ('decoder_', NARROW))
              for over, count in (('spatial', 4), ('temporal', 3), ('class', 1))}
    encoder = {
        'cls_token': (1, 1, WIDTH), 'patch_embed.proj.weight': (WIDTH, 3, 2, 4, 4), 'patch_embed.proj.bias': (WIDTH,),
        **blocks('blocks', 2, WIDTH, split=True), **norm('norm', WIDTH),
    }
    decoder = {
        'mask_token': (1, 1, NARROW), 'decoder_cls_token': (1, 1, NARROW), **linear('decoder_embed', NARROW, WIDTH),
        **blocks('decoder_blocks', 2, NARROW, split=True), **norm('decoder_norm', NARROW), **linear('decoder_pred', 48, NARROW),
    }
    w = drawn(encoder | decoder | tables, 23)
    frames = inputs(35, 2, 6, 8, 8, 3)
    order = inputs(36, 2, 12).argsort(1)
    table = lambda w, part: (w[f'{part}pos_embed_spatial'][:, None] + w[f'{part}pos_embed_temporal'][:, :, None]).flatten(1, 2)

    def encode(w, indices):
        x = pick(embed(w, 'patch_embed', frames.permute(0, 4, 1, 2, 3)) + table(w, ''), indices)
        return apply_blocks(w, 'blocks', 2, with_token(w['cls_token'] + w['pos_embed_class'], x), HEADS)

    everything = torch.arange(12).expand(2, 12)
    x = apply_linear(w, 'decoder_embed', apply_norm(w, 'norm', encode(w, order[:, :3]))[:, 1:])
    x = unshuffled(x, w['mask_token'], order) + table(w, 'decoder_')
    x = with_token(w['decoder_cls_token'] + w['decoder_pos_embed_class'], x)
    x = apply_norm(w, 'decoder_norm', apply_blocks(w, 'decoder_blocks', 2, x, NARROW_HEADS))
    write('mae_st', w, SIZES, {
        'video': frames, 'features': apply_norm(w, 'norm', encode(w, everything)), 'order': order.int(),
        'prediction': pick(apply_linear(w, 'decoder_pred', x[:, 1:]), order[:, 3:]),
    })
    # Fine-tuned: the norm stands behind the mean over the patches' tokens.
    tuned = encoder | linear('head', 3, WIDTH) | {name: shape for name, shape in tables.items() if 'decoder' not in name}
    w = drawn(tuned, 24)
    features = encode(w, everything)
    logits = apply_linear(w, 'head', apply_norm(w, 'norm', features[:, 1:].mean(1)))
    write('mae_st-classifier', w, SIZES, {'video': frames, 'features': features, 'logits': logits})


def cav_mae():
    """Frequency-major spectrograms (as the network sees them, transposed) and one picture; norm epsilon PyTorch's 1e-5."""
    norms = ('norm1', 'norm1_a', 'norm1_v', 'norm2', 'norm2_a', 'norm2_v')
    encoder = {
        'patch_embed_a.proj.weight': (WIDTH, 1, 4, 4), 'patch_embed_a.proj.bias': (WIDTH,),
        'patch_embed_v.proj.weight': (WIDTH, 3, 4, 4), 'patch_embed_v.proj.bias': (WIDTH,),
        'modality_a': (1, 1, WIDTH), 'modality_v': (1, 1, WIDTH), 'pos_embed_a': (1, 12, WIDTH), 'pos_embed_v': (1, 9, WIDTH),
        **blocks('blocks_a', 2, WIDTH, norms=norms), **blocks('blocks_v', 2, WIDTH, norms=norms),
        **blocks('blocks_u', 1, WIDTH, norms=norms), **norm('norm_a', WIDTH), **norm('norm_v', WIDTH), **norm('norm', WIDTH),
    }
    decoder = {
        **linear('decoder_embed', NARROW, WIDTH), 'mask_token': (1, 1, NARROW),
        'decoder_modality_a': (1, 1, NARROW), 'decoder_modality_v': (1, 1, NARROW),
        'decoder_pos_embed_a': (1, 12, NARROW), 'decoder_pos_embed_v': (1, 9, NARROW),
        **blocks('decoder_blocks', 2, NARROW, norms=norms), **norm('decoder_norm', NARROW),
        **linear('decoder_pred_a', 16, NARROW), **linear('decoder_pred_v', 48, NARROW),
    }
    w = drawn(encoder | decoder, 25)
    mel, pictures = inputs(37, 2, 24, 8), inputs(38, 2, 1, 12, 12, 3)
    # Orders in our time-major grid (6 x 2); theirs is 2 x 6.
    orders = {'a': inputs(39, 2, 12).argsort(1), 'v': inputs(40, 2, 9).argsort(1)}
    theirs = (torch.arange(12) % 2) * 6 + torch.arange(12) // 2
    eps = {'epsilon': 1e-5}

    def tokens(w, letter):
        pixels = mel.transpose(1, 2)[:, None] if letter == 'a' else pictures[:, 0].permute(0, 3, 1, 2)
        return embed(w, f'patch_embed_{letter}', pixels) + w[f'pos_embed_{letter}'] + w[f'modality_{letter}']

    def single(w, letter):
        x = apply_blocks(w, f'blocks_{letter}', 2, tokens(w, letter), HEADS, **eps)
        x = apply_block(w, 'blocks_u.0', x, HEADS, norms=(f'norm1_{letter}', f'norm2_{letter}'), **eps)
        x = apply_norm(w, f'norm_{letter}', x, 1e-5)
        return x[:, theirs] if letter == 'a' else x

    visible = {'a': theirs[orders['a'][:, :3]], 'v': orders['v'][:, :3]}
    encoded = [apply_blocks(w, f'blocks_{m}', 2, pick(tokens(w, m), visible[m]), HEADS, **eps) for m in 'av']
    joint = apply_norm(w, 'norm', apply_block(w, 'blocks_u.0', torch.cat(encoded, 1), HEADS, **eps), 1e-5)
    x = apply_linear(w, 'decoder_embed', joint)
    whole = {'a': theirs[orders['a']], 'v': orders['v']}
    parts = [unshuffled(part, w['mask_token'], whole[m]) + w[f'decoder_pos_embed_{m}'] + w[f'decoder_modality_{m}']
             for m, part in zip('av', x.split(3, dim=1))]
    x = apply_norm(w, 'decoder_norm', apply_blocks(w, 'decoder_blocks', 2, torch.cat(parts, 1), NARROW_HEADS, **eps), 1e-5)
    a, v = x.split([12, 9], dim=1)
    predicted_a = pick(apply_linear(w, 'decoder_pred_a', a), whole['a'][:, 3:])
    # Values of a patch: (frequency, time) -> (time, frequency).
    predicted_a = predicted_a.reshape(2, 9, 4, 4).transpose(2, 3).reshape(2, 9, 16)
    write('cav-mae', {f'module.{name}': value for name, value in w.items()}, SIZES | {'num_mel_bins': 8}, {
        'audio': mel, 'video': pictures, 'audio_order': orders['a'].int(), 'video_order': orders['v'].int(),
        'audio_features': single(w, 'a'), 'video_features': single(w, 'v'), 'audio_prediction': predicted_a,
        'video_prediction': pick(apply_linear(w, 'decoder_pred_v', v), orders['v'][:, 3:]),
    })
    w = drawn(encoder | norm('mlp_head.0', WIDTH) | linear('mlp_head.1', 3, WIDTH), 26)
    head = lambda mean: apply_linear(w, 'mlp_head.1', apply_norm(w, 'mlp_head.0', mean, 1e-5))
    logits = {m: head(single(w, m).mean(1)) for m in 'av'}
    both = [apply_blocks(w, f'blocks_{m}', 2, tokens(w, m), HEADS, **eps) for m in 'av']
    joint = apply_norm(w, 'norm', apply_block(w, 'blocks_u.0', torch.cat(both, 1), HEADS, **eps), 1e-5)
    write('cav-mae-classifier', {f'module.{name}': value for name, value in w.items()}, SIZES | {'num_mel_bins': 8}, {
        'audio': mel, 'video': pictures, 'audio_features': single(w, 'a'), 'video_features': single(w, 'v'),
        'audio_logits': logits['a'], 'video_logits': logits['v'], 'logits': head(joint.mean(1)),
    })


if __name__ == '__main__':
    torch.set_num_threads(1)
    with torch.no_grad():
        for case in (audiomae, mavil, mae_st, cav_mae):
            case()
