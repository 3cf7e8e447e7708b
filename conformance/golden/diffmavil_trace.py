# SPDX-License-Identifier: Apache-2.0
"""Writes the parity cases: one training step of many small models, with every gradient.

For each case three files in fixtures/diffmavil: `trace-<case>.config.json` (ModelConfig and maskRatio),
`trace-<case>.in.safetensors` (weights, patches, order, timestep, noise) and `trace-<case>.out.safetensors`
(losses, embeddings, predictions, `grad.<weight>`). Inputs are float32; outputs are computed in float64 from
them and stored as float32.

    python diffmavil_trace.py                          the committed cases
    python diffmavil_trace.py --large --out FOLDER     bigger ones with odd lengths, not committed
    python diffmavil_trace.py --config FILE --batch 2 --mask-ratio 0.8 --out FOLDER     one case of any configuration

Versions: Python 3.11, torch 2.13.0 (CPU), numpy 2.4.6, safetensors 0.8.0.
"""

import argparse
import copy
import json
import zlib
from pathlib import Path

import torch
from diffmavil import DiffMavil, visible_count
from safetensors.torch import save

TINY = {
    'audio': {'frames': 32, 'mels': 32, 'patch': 4},
    'video': {'frames': 4, 'size': 6, 'tubelet': 2, 'patch': 2, 'predictFrames': 4},
    'encoder': {'width': 12, 'depth': 1, 'heads': 3, 'mlpRatio': 4, 'classToken': False, 'finalNorm': True},
    'fusion': {'kind': 'joint', 'depth': 1, 'bottlenecks': 4, 'finalNorm': True},
    'decoder': {
        'width': 8, 'depth': 2, 'heads': 2, 'audioAttention': 'window', 'window': [4, 4], 'shift': [2, 2],
        'videoAttention': 'cross',
    },
    'masked': {'kind': 'diffused', 'timesteps': 1000, 'betaStart': 1e-4, 'betaEnd': 0.02, 'exponent': 0.8},
    'loss': {
        'audioWeight': 1, 'videoWeight': 1, 'interWeight': 0.1, 'interTemperature': 0.1,
        'intraWeight': 0.01, 'intraTemperature': 1, 'normalizeTargets': False,
    },
}  # fmt: skip
MASK_TOKEN = {'kind': 'mask-token'}
NO_CONTRAST = {'interWeight': 0, 'intraWeight': 0}


def case(mask_ratio=0.75, batch=2, **changes):
    config = copy.deepcopy(TINY)
    for section, change in changes.items():
        if change is None or 'kind' in change and section == 'masked':
            config[section] = change
        else:
            config[section].update(change)
    return config, mask_ratio, batch


CASES = {
    # the paper's model (R2): shifted windows on both axes, cross decoder, diffusion; ratio of the paper
    'window-cross': case(
        0.8, video={'size': 12, 'patch': 4}, encoder={'width': 16, 'depth': 2, 'heads': 2}
    ),
    # no shift along the mel axis (4 columns); one predicted frame per tubelet, the last one being the odd frame
    'window-one-axis': case(
        0.7,
        audio={'frames': 48, 'mels': 16},
        video={'frames': 6, 'size': 4, 'predictFrames': 3},
        loss={'audioWeight': 0.5, 'videoWeight': 2, 'interWeight': 0.7, 'intraWeight': 0.3},
    ),
    # rows and columns must not be confused: 8 x 6 grid, 4 x 2 windows shifted by (1, 1)
    'window-rectangular': case(
        batch=3,
        audio={'frames': 32, 'mels': 24},
        decoder={'window': [4, 2], 'shift': [1, 1]},
        loss={'normalizeTargets': True},
    ),
    # nothing divides anything: 7 x 5 audio tokens, 3 x 3 x 3 video tokens; 35 (1 - 0.8) is 6.999... and means 7
    'global-self-odd': case(
        0.8,
        batch=3,
        audio={'frames': 28, 'mels': 20},
        video={'frames': 6, 'size': 6, 'predictFrames': 6},
        encoder={'depth': 3},
        decoder={'width': 12, 'heads': 1, 'audioAttention': 'global', 'videoAttention': 'self'},
    ),
    # MAViL: mask tokens, class tokens, self-attention in the video decoder
    'mask-token-class-token': case(
        0.8, masked=MASK_TOKEN, encoder={'classToken': True}, decoder={'videoAttention': 'self'}
    ),
    'mask-token-cross': case(masked=MASK_TOKEN, decoder={'audioAttention': 'global'}, loss={'normalizeTargets': True}),
    # no fusion, no norm at the end of the encoders; other MLP ratio, depth and diffusion constants
    'fusion-none': case(
        fusion={'kind': 'none'},
        encoder={'finalNorm': False, 'mlpRatio': 2},
        masked={'kind': 'diffused', 'timesteps': 50, 'betaStart': 1e-3, 'betaEnd': 0.2, 'exponent': 1},
        decoder={'depth': 3},
    ),
    # two fusion blocks without a norm after them; one window (no shift at all); both views together use every token
    'fusion-no-norm': case(0.5, fusion={'depth': 2, 'finalNorm': False}, audio={'frames': 16, 'mels': 16}),
    # AudioMAE and AudioMAE with diffusion
    'audio-only-mask-token': case(
        video=None, fusion={'kind': 'none'}, masked=MASK_TOKEN, loss={'normalizeTargets': True, **NO_CONTRAST}
    ),
    'audio-only-diffused': case(video=None, fusion={'kind': 'none'}, loss={'interWeight': 0, 'intraWeight': 0.2}),
    # SpatiotemporalMAE: one frame per tubelet of four, normalised targets; one visible token of 18
    'video-only-self': case(
        0.9,
        audio=None,
        video={'frames': 8, 'size': 6, 'tubelet': 4, 'predictFrames': 2},
        fusion={'kind': 'none'},
        masked=MASK_TOKEN,
        decoder={'videoAttention': 'self'},
        loss={'normalizeTargets': True, **NO_CONTRAST},
    ),
    # one modality with a joint fusion: more blocks over its own tokens
    'video-only-cross': case(
        audio=None, video={'size': 8}, loss={'interWeight': 0, 'intraWeight': 0.2}
    ),
}

WIDE = {'encoder': {'width': 64, 'depth': 3, 'heads': 4}, 'decoder': {'width': 48, 'depth': 4, 'heads': 3}}
LARGE = {
    # 21 x 3 audio and 5 x 3 x 3 video tokens
    'large-odd': case(
        0.8, 3, audio={'frames': 336, 'mels': 48, 'patch': 16},
        video={'frames': 10, 'size': 48, 'patch': 16, 'predictFrames': 5},
        encoder=WIDE['encoder'], decoder={**WIDE['decoder'], 'audioAttention': 'global'},
    ),
    'large-window': case(
        0.8, 2, audio={'frames': 512, 'mels': 128, 'patch': 16},
        video={'frames': 14, 'size': 80, 'patch': 16, 'predictFrames': 14}, **WIDE,
    ),
    'large-window-7x5': case(
        0.85, 2, audio={'frames': 448, 'mels': 160, 'patch': 16},
        video={'frames': 6, 'size': 48, 'patch': 16, 'predictFrames': 6},
        encoder={**WIDE['encoder'], 'finalNorm': False}, fusion={'kind': 'none'},
        decoder={**WIDE['decoder'], 'window': [7, 5], 'shift': [3, 2]},
    ),
    'large-self': case(
        0.9, 5, audio={'frames': 272, 'mels': 80, 'patch': 16},
        video={'frames': 14, 'size': 80, 'patch': 16, 'predictFrames': 7},
        encoder={'width': 96, 'depth': 4, 'heads': 6, 'classToken': True},
        decoder={**WIDE['decoder'], 'audioAttention': 'global', 'videoAttention': 'self'},
    ),
}  # fmt: skip


def randomize(model, generator):
    """Nothing at a special value: biases are not 0, norms are not 1, so that each gradient counts."""
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith('weight') and parameter.dim() == 1:
            value = 1 + 0.2 * noise
        elif name.endswith('weight'):
            value = noise * (1.2 / parameter.shape[1] ** 0.5)
        else:
            value = 0.3 * noise
        parameter.data = value


def random_inputs(model, config, mask_ratio, batch, generator):
    """{modality: float32 patches, int32 order and timestep (the first is 1, the second T), float32 noise}"""
    inputs = {}
    for m in model.modalities:
        encoder, decoder = getattr(model, f'{m}_encoder'), getattr(model, f'{m}_decoder')
        tokens = encoder.positions.shape[0]
        values = {'patches': 0.7 * torch.randn(batch, tokens, encoder.patch_embed.in_features, generator=generator)}
        order = [torch.randperm(tokens, generator=generator) for _ in range(batch)]
        values['order'] = torch.stack(order).int()
        if config['masked']['kind'] == 'diffused':
            timesteps = config['masked']['timesteps']
            timestep = torch.randint(1, timesteps // 4, (batch,), generator=generator)
            edges = [1, timesteps]
            timestep[: len(edges)] = torch.tensor(edges[:batch])
            values['timestep'] = timestep[torch.randperm(batch, generator=generator)].int()
            masked = tokens - visible_count(tokens, mask_ratio)
            values['noise'] = torch.randn(batch, masked, decoder.head.out_features, generator=generator)
        inputs[m] = values
    return inputs


def to_double(inputs):
    return {
        m: {k: v.double() if v.is_floating_point() else v.long() for k, v in values.items()}
        for m, values in inputs.items()
    }


def seeded(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def write_tensors(path, tensors):
    path.write_bytes(save({name: value.detach().contiguous() for name, value in tensors.items()}))


def write_case(folder, name, config, mask_ratio, batch):
    generator = seeded(name)
    model = DiffMavil(config)
    randomize(model, generator)
    inputs = random_inputs(model, config, mask_ratio, batch, generator)
    given = {k: v.detach().clone() for k, v in model.named_parameters()}
    given |= {f'{m}.{k}': v for m, values in inputs.items() for k, v in values.items()}

    model = model.double()
    outputs = model(to_double(inputs), mask_ratio)
    outputs['loss'].backward()
    outputs |= {f'grad.{k}': v.grad for k, v in model.named_parameters()}
    for key, value in outputs.items():
        assert value.isfinite().all() and value.abs().sum() > 0, f'{name}: {key} is zero or not finite'
    outputs = {k: v.float() for k, v in outputs.items()}

    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / f'trace-{name}.in.safetensors', given)
    write_tensors(folder / f'trace-{name}.out.safetensors', outputs)
    text = json.dumps({**config, 'maskRatio': mask_ratio}, indent=2)
    (folder / f'trace-{name}.config.json').write_text(text + '\n')


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--large', action='store_true')
    parser.add_argument('--config', type=Path, help='a ModelConfig as JSON; the case is named after the file')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--mask-ratio', type=float, default=0.8)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'fixtures' / 'diffmavil')
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = LARGE if options.large else CASES
    if options.config:
        cases = {options.config.stem: (json.loads(options.config.read_text()), options.mask_ratio, options.batch)}
    for name, (config, mask_ratio, batch) in cases.items():
        write_case(options.out, name, config, mask_ratio, batch)
