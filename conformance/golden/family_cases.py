# SPDX-License-Identifier: Apache-2.0
"""The parity cases of the model family: (config, mask ratio, batch) by name. What each is for: golden/README.md.

Sizes are tiny and unlike each other, so that widths, heads and grids cannot be confused. Versions: Python 3.11.
"""

import copy

BASE = {
    'audio': {'frames': 20, 'mels': 12, 'patch': 4, 'stride': 4},
    'video': {'frames': 4, 'size': 6, 'tubelet': 2, 'patch': 2, 'predictFrames': 4},
    'encoder': {
        'width': 8, 'depth': 1, 'heads': 2, 'mlpRatio': 2, 'classToken': False, 'finalNorm': True,
        'sharing': 'separate', 'positions': 'sincos', 'modalityToken': False, 'distillationToken': False,
        'normEpsilon': 1e-6,
    },
    'fusion': {'kind': 'joint', 'depth': 1, 'bottlenecks': 4, 'finalNorm': True},
    'decoder': {
        'width': 4, 'depth': 1, 'heads': 2, 'audioAttention': 'global', 'window': [4, 4], 'shift': [2, 2],
        'videoAttention': 'self', 'sharing': 'separate', 'context': 'fused', 'positions': 'sincos',
        'modalityToken': False, 'classToken': 'none',
    },
    'classifier': {'pooling': 'tokens', 'finalNorm': False},
    'masked': {'kind': 'mask-token'},
    'masking': {'rounding': 'floor', 'secondView': 'disjoint', 'audio': 'random'},
    'targets': {'kind': 'patches'},
    'loss': {
        'audioWeight': 1, 'videoWeight': 1, 'interWeight': 0.1, 'interTemperature': 0.1,
        'interDirection': 'audio-to-video', 'intraWeight': 0.01, 'intraTemperature': 1, 'normalizeTargets': False,
    },
}  # fmt: skip
DIFFUSED = {'kind': 'diffused', 'timesteps': 1000, 'betaStart': 1e-4, 'betaEnd': 0.02, 'exponent': 0.8}
NO_CONTRAST = {'interWeight': 0, 'intraWeight': 0}
NO_FUSION = {'kind': 'none'}
AVS_RATIOS = {'audio': 0.7, 'video': 0.9}


def teacher(**rest):
    return {'kind': 'teacher', 'width': 10, 'features': 'fusion', 'normalize': False, **rest}


def case(mask_ratio=0.75, batch=2, **changes):
    config = copy.deepcopy(BASE)
    for section, change in changes.items():
        if change is None or section in ('masked', 'targets'):
            config[section] = change
        else:
            config[section].update(change)
    if 'audio' in changes and config['audio']:
        config['audio']['stride'] = changes['audio'].get('stride', config['audio']['patch'])
    return config, mask_ratio, batch


FUSIONS = {
    'bottleneck': case(
        0.7, fusion={'kind': 'bottleneck', 'depth': 2, 'bottlenecks': 3}, masked=DIFFUSED,
        decoder={'videoAttention': 'cross'},
    ),
    'bottleneck-class-tokens': case(
        fusion={'kind': 'bottleneck', 'bottlenecks': 2, 'finalNorm': False},
        encoder={'classToken': True, 'distillationToken': True, 'finalNorm': False},
    ),
    'cav-mae': case(
        video={'frames': 1, 'size': 8, 'tubelet': 1, 'predictFrames': 1},
        fusion={'kind': 'modality-norms'}, encoder={'modalityToken': True},
        decoder={'sharing': 'joint', 'modalityToken': True},
        loss={
            'interWeight': 0.01, 'interTemperature': 0.05, 'interDirection': 'video-to-audio', 'intraWeight': 0,
            'normalizeTargets': True,
        },
        batch=3,
    ),
    'modality-norms-class-token': case(
        0.6, fusion={'kind': 'modality-norms', 'depth': 2, 'finalNorm': False}, encoder={'classToken': True},
        loss={'intraWeight': 0.5},
    ),
    'avmae-mid': case(AVS_RATIOS, fusion={'depth': 2}, decoder={'sharing': 'shared'}, loss=NO_CONTRAST),
    'avmae-early': case(
        AVS_RATIOS, encoder={'depth': 0, 'finalNorm': False}, fusion={'depth': 2},
        decoder={'sharing': 'shared'}, loss=NO_CONTRAST,
    ),
    'avmae-shared': case(
        AVS_RATIOS, encoder={'depth': 2, 'sharing': 'shared'}, fusion=NO_FUSION, decoder={'sharing': 'shared'},
        loss=NO_CONTRAST,
    ),
}  # fmt: skip

TOKENS = {
    'shared-encoder-tokens': case(
        encoder={
            'sharing': 'shared', 'classToken': True, 'distillationToken': True, 'modalityToken': True,
            'positions': 'learned',
        },
        loss={'interDirection': 'both', 'intraWeight': 0.3},
        batch=3,
    ),
    'learned-positions': case(
        encoder={'positions': 'learned'}, decoder={'positions': 'learned', 'videoAttention': 'cross'},
    ),
    # streams of deviation 0.01 (see `small_streams`): 1e-6 in place of 1e-12 is half a percent of their variance
    'norm-epsilon': case(
        encoder={'normEpsilon': 1e-12, 'positions': 'learned'},
        decoder={'positions': 'learned', 'videoAttention': 'cross'},
    ),
}  # fmt: skip

DECODERS = {
    'shared-decoder-diffused': case(
        masked=DIFFUSED, decoder={'sharing': 'shared', 'depth': 2, 'positions': 'learned', 'modalityToken': True},
    ),
    'joint-decoder-diffused': case(
        masked=DIFFUSED, video={'predictFrames': 2}, encoder={'classToken': True},
        decoder={'sharing': 'joint', 'positions': 'learned'},
    ),
    'inpainting-self': case(0.7, decoder={'context': 'other-modality'}),
    'inpainting-cross': case(
        0.7, masked=DIFFUSED,
        decoder={
            'context': 'other-modality', 'videoAttention': 'cross', 'positions': 'learned', 'modalityToken': True,
        },
    ),
    'inpainting-shared': case(
        AVS_RATIOS, decoder={'context': 'other-modality', 'sharing': 'shared', 'modalityToken': True}, loss=NO_CONTRAST,
    ),
    # AudioMAE as published: shift (2, 0), no contrast, normalised targets
    'cosine-window': case(
        0.8, audio={'frames': 32, 'mels': 32}, video=None, fusion=NO_FUSION,
        decoder={'width': 12, 'heads': 3, 'audioAttention': 'cosine-window', 'depth': 2, 'shift': [2, 0]},
        loss={'normalizeTargets': True, **NO_CONTRAST},
    ),
    'cosine-window-both-axes': case(
        0.8, audio={'frames': 32, 'mels': 32}, masked=DIFFUSED,
        decoder={'width': 8, 'audioAttention': 'cosine-window', 'depth': 2, 'videoAttention': 'cross'},
    ),
    # 8 x 6 grid, 4 x 2 windows: rows and columns must not be confused
    'cosine-window-rectangular': case(
        audio={'frames': 32, 'mels': 24}, video=None, fusion=NO_FUSION,
        decoder={'audioAttention': 'cosine-window', 'depth': 2, 'window': [4, 2], 'shift': [1, 1]},
        loss={'interWeight': 0, 'intraWeight': 0.2},
    ),
    # 12 x 4 grid: no shift along the mel axis, though one is asked for
    'cosine-window-one-axis': case(
        audio={'frames': 48, 'mels': 16}, video=None, fusion=NO_FUSION,
        decoder={'audioAttention': 'cosine-window', 'depth': 2}, loss=NO_CONTRAST,
    ),
    'ratio-per-modality': case(
        {'audio': 0.8, 'video': 0.6}, video={'frames': 6, 'size': 4, 'predictFrames': 3}, masked=DIFFUSED,
        loss={'normalizeTargets': True},
    ),
    # MAE: both class tokens of the encoder are among the decoder's tokens
    'decoder-class-tokens': case(
        encoder={'classToken': True, 'distillationToken': True}, decoder={'classToken': 'encoder'}, masked=DIFFUSED,
    ),
    # SpatiotemporalMAE: the decoder has a class token of its own
    'decoder-class-token-learned': case(
        audio=None, fusion=NO_FUSION, decoder={'classToken': 'learned', 'positions': 'learned'},
        loss={'normalizeTargets': True, **NO_CONTRAST},
    ),
    # DiffMAE: video alone, diffused, cross decoder
    'videomae-diffusion': case(
        audio=None, fusion=NO_FUSION, masked=DIFFUSED, decoder={'videoAttention': 'cross', 'depth': 2},
        loss=NO_CONTRAST,
    ),
}  # fmt: skip

MASKS_AND_TARGETS = {
    'targets-fusion': case(0.8, targets=teacher(normalize=True), encoder={'classToken': True}),
    'targets-encoder': case(
        targets=teacher(features='encoder'), masked=DIFFUSED, video={'predictFrames': 2},
        decoder={'videoAttention': 'cross'},
    ),
    # 0.4 leaves no room for two views that do not overlap
    'second-view-independent': case(0.4, masking={'secondView': 'independent'}, loss={'intraWeight': 0.3}),
    # 15 and 18 tokens at 0.9: 1.5 and 1.8, two of each; floor would be one
    'rounding-nearest': case(0.9, masking={'rounding': 'nearest'}, masked=DIFFUSED),
    'masks-time': case(
        0.7, masking={'audio': 'time', 'rounding': 'nearest'}, video=None, fusion=NO_FUSION, loss=NO_CONTRAST
    ),
    'masks-frequency': case(0.6, masking={'audio': 'frequency'}, video=None, fusion=NO_FUSION, loss=NO_CONTRAST),
    'masks-time-frequency': case(
        0.6, masking={'audio': 'time-frequency', 'secondView': 'independent'}, masked=DIFFUSED,
    ),
    # many at once
    'everything': case(
        {'audio': 0.6, 'video': 0.75},
        audio={'frames': 32, 'mels': 24},
        encoder={
            'sharing': 'shared', 'classToken': True, 'distillationToken': True, 'modalityToken': True,
            'positions': 'learned', 'normEpsilon': 1e-4,
        },
        fusion={'kind': 'bottleneck', 'depth': 2},
        decoder={
            'width': 12, 'heads': 3, 'audioAttention': 'cosine-window', 'window': [4, 2], 'shift': [2, 1], 'depth': 2,
            'videoAttention': 'cross', 'positions': 'learned', 'modalityToken': True,
        },
        masked=DIFFUSED,
        masking={'rounding': 'nearest', 'secondView': 'independent', 'audio': 'time-frequency'},
        targets=teacher(normalize=True),
        loss={'interDirection': 'both', 'intraWeight': 0.2, 'audioWeight': 0.5, 'videoWeight': 2},
        batch=3,
    ),
}  # fmt: skip

CASES = {**FUSIONS, **TOKENS, **DECODERS, **MASKS_AND_TARGETS}

# What is taken from a teacher, and its configuration. Encoder and fusion outputs differ.
TEACHERS = {
    'fusion': (teacher(width=8), case(encoder={'classToken': True})),
    'encoder': (teacher(width=8, features='encoder'), case(encoder={'classToken': True})),
    'normalized': (teacher(width=8, normalize=True), case(fusion={'kind': 'bottleneck'}, encoder={'finalNorm': False})),
    'modality-norms': (teacher(width=8), case(fusion={'kind': 'modality-norms'})),
}

AST = {
    'audio': {'frames': 13, 'mels': 10, 'stride': 3}, 'video': None, 'fusion': NO_FUSION, 'loss': NO_CONTRAST,
    'encoder': {
        'classToken': True, 'distillationToken': True, 'positions': 'learned', 'normEpsilon': 1e-12, 'depth': 2,
    },
}  # fmt: skip

# Classifiers: what they read, and of which configuration.
CLASSIFIERS = {
    # overlapping patches (4 x 3 tokens), distillation token, epsilon 1e-12
    'audio': ('audio', case(**AST)),
    'audio-class-tokens': ('audio', case(**AST, classifier={'pooling': 'class-tokens', 'finalNorm': True})),
    'video': ('video', case(encoder={'finalNorm': False, 'depth': 2})),
    'shared-encoder': ('video', case(encoder={'sharing': 'shared', 'classToken': True, 'modalityToken': True})),
    'both-joint': ('both', case(encoder={'classToken': True, 'finalNorm': False}, fusion={'finalNorm': False})),
    'both-norms': ('both', case()),
    'both-bottleneck': ('both', case(fusion={'kind': 'bottleneck', 'depth': 2}, encoder={'classToken': True})),
}  # fmt: skip


def enlarged(config, mask_ratio, batch):
    """A case at sizes that fill and overhang vector registers and tiles; the grid of audio keeps whole windows."""
    config = copy.deepcopy(config)
    if config['audio']:
        for axis in ('frames', 'mels'):
            config['audio'][axis] *= 3
    if config['video']:
        config['video']['size'] += 4
    config['encoder'].update(width=72, heads=6, depth=config['encoder']['depth'] * 2, mlpRatio=4)
    config['decoder'].update(width=52, heads=4, depth=config['decoder']['depth'] + 1)
    if config['targets']['kind'] == 'teacher':
        config['targets']['width'] = 37
    return config, mask_ratio, batch + 1
