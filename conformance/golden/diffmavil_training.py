# SPDX-License-Identifier: Apache-2.0
"""Writes the end-to-end golden: ten AdamW steps of a tiny model, every loss and gradient norm of each.

Files in fixtures/diffmavil: `training.in.safetensors` (initial weights, two batches of patches used in turn, and
for each step `step.<n>.{modality}.{order,timestep,noise}`), `training.config.json` (ModelConfig, maskRatio,
optimizer settings, the names that decay) and `training.out.json` (per step: losses, learning rate, gradient norm
before clipping; at the end: the norm of each weight, biases of attention keys left out). Computed in float64.

Rules of the recipe: AdamW of torch.optim (betas 0.9, 0.95, eps 1e-8), weight decay on matrices (`.weight` with two
dimensions) only, gradients clipped to a global norm of 1 by torch's clip_grad_norm_ (factor 1 / (norm + 1e-6),
at most 1), learning rate per step: linear warm-up from 0, then half a cosine to the floor.

Versions: Python 3.11, torch 2.13.0 (CPU), numpy 2.4.6, safetensors 0.8.0.
"""

import json
import math
from pathlib import Path

import torch
from diffmavil import DiffMavil
from diffmavil_trace import case, randomize, random_inputs, seeded, to_double, write_tensors

STEPS = 10
OPTIMIZER = {
    'beta1': 0.9, 'beta2': 0.95, 'epsilon': 1e-8, 'weightDecay': 0.05, 'maxGradientNorm': 1.0,
    'learningRate': {'kind': 'cosine', 'peak': 4e-3, 'floor': 1e-5, 'warmupSteps': 3, 'totalSteps': STEPS},
}  # fmt: skip


def learning_rate(step, schedule):
    """step counts from 0."""
    peak, floor = schedule['peak'], schedule['floor']
    if step < schedule['warmupSteps']:
        return peak * step / schedule['warmupSteps']
    progress = (step - schedule['warmupSteps']) / (schedule['totalSteps'] - schedule['warmupSteps'])
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def without_key_bias(name, value):
    """Softmax does not see a bias of the keys: its gradient is 0, and Adam turns rounding into steps of any sign."""
    if name.endswith('attn.qkv.bias'):
        query, _, value = value.chunk(3)
        return torch.cat([query, value])
    return value.chunk(2)[1] if name.endswith('attn.kv.bias') else value


def main(folder):
    config, mask_ratio, batch = case(
        0.75, 3,
        audio={'frames': 32, 'mels': 16}, video={'frames': 4, 'size': 8, 'patch': 4, 'predictFrames': 2},
        encoder={'depth': 2}, loss={'audioWeight': 0.3, 'videoWeight': 0.4},
    )  # fmt: skip
    generator = seeded('training')
    model = DiffMavil(config)
    randomize(model, generator)
    given = {k: v.detach().clone() for k, v in model.named_parameters()}
    clips = [random_inputs(model, config, mask_ratio, batch, generator) for _ in range(2)]
    given |= {f'batch.{i}.{m}.patches': clips[i][m]['patches'] for i in range(2) for m in model.modalities}

    model = model.double()
    decayed = [k for k, v in model.named_parameters() if k.endswith('.weight') and v.dim() == 2]
    named = dict(model.named_parameters())
    groups = [
        {'params': [v for k, v in named.items() if k in decayed], 'weight_decay': OPTIMIZER['weightDecay']},
        {'params': [v for k, v in named.items() if k not in decayed], 'weight_decay': 0.0},
    ]
    betas = (OPTIMIZER['beta1'], OPTIMIZER['beta2'])
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=OPTIMIZER['epsilon'])

    steps = []
    for step in range(STEPS):
        inputs = random_inputs(model, config, mask_ratio, batch, generator)
        for m in model.modalities:
            inputs[m]['patches'] = clips[step % 2][m]['patches']
            given |= {f'step.{step}.{m}.{k}': inputs[m][k] for k in ('order', 'timestep', 'noise')}
        optimizer.zero_grad()
        outputs = model(to_double(inputs), mask_ratio)
        outputs['loss'].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER['maxGradientNorm'])
        rate = learning_rate(step, OPTIMIZER['learningRate'])
        for group in optimizer.param_groups:
            group['lr'] = rate
        optimizer.step()
        losses = {k: v.item() for k, v in outputs.items() if k.startswith('loss')}
        steps.append({**losses, 'learningRate': rate, 'gradientNorm': norm.item()})

    norms = {k: without_key_bias(k, v.detach()).norm().item() for k, v in named.items()}
    write_tensors(folder / 'training.in.safetensors', given)
    settings = {**config, 'maskRatio': mask_ratio, 'optimizer': OPTIMIZER, 'decayed': decayed}
    (folder / 'training.config.json').write_text(json.dumps(settings, indent=2) + '\n')
    result = {'steps': steps, 'weightNorms': norms}
    (folder / 'training.out.json').write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    torch.set_num_threads(1)
    target = Path(__file__).parent / 'fixtures' / 'diffmavil'
    target.mkdir(parents=True, exist_ok=True)
    main(target)
