# SPDX-License-Identifier: Apache-2.0
"""Writes the parity cases of the model family: one training step, teacher's features or classification each.

In fixtures/family, for each case of family_cases.py `trace-<case>.config.json` (ModelConfig and maskRatio, a number or
{audio, video}), `.in.safetensors` (weights; {m}.patches, .order, .timestep, .noise, .targets, .second_order) and
`.out.safetensors` (losses, embeddings, predictions, `grad.<weight>`). For each teacher `teacher-<case>.*` with
`{m}.features`; for each classifier `classifier-<case>.*` with `labels` in, `logits`, `loss` and gradients out.
Inputs are float32; outputs are computed in float64 from them and stored as float32.

    python family_trace.py
    python family_trace.py --large --out FOLDER     the training steps at larger sizes, `large-<case>`, not committed
    python family_trace.py --config FILE --batch 2 --mask-ratio 0.8 --out FOLDER     one case of any configuration

Versions: Python 3.11, torch 2.13.0 (CPU), numpy 2.4.6, safetensors 0.8.0.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffmavil_trace import randomize, seeded, to_double, write_tensors
from family import Classifier, Family, grid_of, kept_axes, teach, values_of, visible_tokens
from family_cases import CASES, CLASSIFIERS, TEACHERS, enlarged

CLASSES = 5


def set_weights(model, name, generator):
    """Random weights as in the other cases, but temperatures near 1 and, for norm-epsilon, streams near 0."""
    randomize(model, generator)
    for weight, value in model.named_parameters():
        if weight.endswith('.tau'):
            value.data = 0.6 + 0.5 * torch.rand(value.shape, generator=generator)
            if name == 'cosine-window':
                value.data[0] = -0.3  # below the floor of 0.01 that divides the scores
        if name == 'norm-epsilon' and small_streams(weight):
            value.data = 0.01 * value.data


def small_streams(weight):
    """Whatever adds to a residual stream."""
    return any(part in weight for part in ('embed', 'positions', 'mask_token', 'attn.proj', 'mlp.fc2'))


def some(length, count, generator):
    """[length] booleans, `count` of them true."""
    return torch.randperm(length, generator=generator) < count


def mask_order(config, modality, kept, generator):
    """A permutation of the tokens; given how many (rows, columns) of sound are kept, those in kept ones come first."""
    order = torch.randperm(math.prod(grid_of(config, modality)), generator=generator)
    if kept is None:
        return order
    rows, columns = (some(n, k, generator) for n, k in zip(grid_of(config, 'audio'), kept))
    visible = (rows[:, None] & columns[None, :]).flatten()[order]
    return torch.cat([order[visible], order[~visible]])


def random_patches(config, modality, batch, generator):
    shape = batch, math.prod(grid_of(config, modality)), values_of(config, modality)[0]
    return 0.7 * torch.randn(shape, generator=generator)


def random_inputs(model, mask_ratio, batch, generator):
    """{modality: patches, order, timestep (the first is 1, the second T), noise, targets, second_order}"""
    config, inputs = model.config, {}
    for m in model.modalities:
        count = visible_tokens(config, m, mask_ratio)
        kept = kept_axes(config, mask_ratio) if m == 'audio' and config['masking']['audio'] != 'random' else None
        orders = [[mask_order(config, m, kept, generator) for _ in range(batch)] for _view in range(2)]
        first, second = (torch.stack(rows).int() for rows in orders)
        values = {'patches': random_patches(config, m, batch, generator), 'order': first}
        masked = first.shape[1] - count
        if config['masked']['kind'] == 'diffused':
            last = config['masked']['timesteps']
            timestep = torch.randint(1, last // 4, (batch,), generator=generator)
            timestep[:2] = torch.tensor([1, last])
            values['timestep'] = timestep[torch.randperm(batch, generator=generator)].int()
            values['noise'] = torch.randn(batch, masked, values_of(config, m)[1], generator=generator)
        if config['targets']['kind'] == 'teacher':
            shape = *first.shape, config['targets']['width']
            values['targets'] = teach(0.4 + 1.5 * torch.randn(shape, generator=generator), config['targets'])
        if config['masking']['secondView'] == 'independent' and config['loss']['intraWeight'] > 0:
            # only its first K count; sound brings no more than these
            values['second_order'] = second[:, :count].clone() if m == 'audio' else second
        inputs[m] = values
    return inputs


def random_model(name, model):
    generator = seeded(f'family {name}')
    set_weights(model, name, generator)
    return model, {k: v.detach().clone() for k, v in model.named_parameters()}, generator


def write(folder, name, settings, given, outputs):
    for key, value in outputs.items():
        if key.endswith('bias_mlp.fc2.bias'):  # softmax does not feel what all keys share
            assert value.abs().max() < 1e-15, f'{name}: {key} is not zero'
            outputs[key] = torch.zeros_like(value)
        else:
            assert value.isfinite().all() and value.abs().sum() > 0, f'{name}: {key} is zero or not finite'
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / f'{name}.in.safetensors', given)
    write_tensors(folder / f'{name}.out.safetensors', {k: v.float() for k, v in outputs.items()})
    (folder / f'{name}.config.json').write_text(json.dumps(settings, indent=2) + '\n')


def gradients(model):
    """Of every weight that is used; a classifier leaves the norm out that its head's norm replaces."""
    return {f'grad.{k}': v.grad for k, v in model.named_parameters() if v.grad is not None}


def write_step(folder, name, config, mask_ratio, batch):
    model, given, generator = random_model(name, Family(config))
    inputs = random_inputs(model, mask_ratio, batch, generator)
    given |= {f'{m}.{k}': v for m, values in inputs.items() for k, v in values.items()}
    model = model.double()
    outputs = model(to_double(inputs), mask_ratio)
    outputs['loss'].backward()
    outputs |= gradients(model)
    assert all(f'grad.{k}' in outputs for k in dict(model.named_parameters())), name
    write(folder, f'trace-{name}', {**config, 'maskRatio': mask_ratio}, given, outputs)


def write_teacher(folder, name, targets, config, batch):
    model, given, generator = random_model(name, Family(config))
    patches = {m: random_patches(config, m, batch, generator) for m in model.modalities}
    given = {k: v for k, v in given.items() if '_decoder.' not in k} | {f'{m}.patches': v for m, v in patches.items()}
    features = model.double().features({m: v.double() for m, v in patches.items()}, targets)
    outputs = {f'{m}.features': v for m, v in features.items()}
    write(folder, f'teacher-{name}', {'teacher': config, 'targets': targets}, given, outputs)


def write_classifier(folder, name, modality, config, batch):
    model, given, generator = random_model(name, Classifier(config, modality, CLASSES))
    patches = {m: random_patches(config, m, batch, generator) for m in model.modalities}
    labels = torch.randint(CLASSES, (batch,), generator=generator)
    given |= {f'{m}.patches': v for m, v in patches.items()} | {'labels': labels.int()}
    model = model.double()
    logits = model({m: v.double() for m, v in patches.items()})
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    outputs = {'logits': logits, 'loss': loss} | gradients(model)
    write(folder, f'classifier-{name}', {**config, 'modality': modality, 'classes': CLASSES}, given, outputs)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--large', action='store_true')
    parser.add_argument('--config', type=Path, help='a ModelConfig as JSON; the case is named after the file')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--mask-ratio', type=float, default=0.8)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'fixtures' / 'family')
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.config:
        config = json.loads(options.config.read_text())
        write_step(options.out, options.config.stem, config, options.mask_ratio, options.batch)
    elif options.large:
        for name, case in CASES.items():
            write_step(options.out, f'large-{name}', *enlarged(*case))
    else:
        for name, (config, mask_ratio, batch) in CASES.items():
            write_step(options.out, name, config, mask_ratio, batch)
        for name, (targets, (config, _, batch)) in TEACHERS.items():
            write_teacher(options.out, name, targets, config, batch)
        for name, (modality, (config, _, batch)) in CLASSIFIERS.items():
            write_classifier(options.out, name, modality, config, batch)
