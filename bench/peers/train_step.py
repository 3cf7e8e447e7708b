# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of the training-step bench: a process that steps the model on command.

Argument: a JSON object {folder, setup: {config, batch, maskRatio}, precision, threads, compile, optimizer}. One JSON object per line
in and out: {"do": "steps" | "profile", "count": n} or {"do": "memory"}, as bench/step-process.ts.
"""

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path

import torch
from diffmavil_torch import DiffMavil
from safetensors import safe_open


def load(path):
    with safe_open(path, framework='pt') as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}


class Stepper:
    def __init__(self, given):
        folder, setup = Path(given['folder']), given['setup']
        self.mask_ratio = setup['maskRatio']
        self.model = DiffMavil(setup['config'])
        weights = load(folder / 'weights.safetensors')
        self.model.load_state_dict(weights)
        del weights
        self.batch = load(folder / 'batch.safetensors')
        for m in ('audio', 'video'):
            order = self.batch[f'{m}.order'].long()
            self.batch[f'{m}.order'], self.batch[f'{m}.restore'] = order, order.argsort(dim=1)
            self.batch[f'{m}.timestep'] = self.batch[f'{m}.timestep'].long()
        self.optimizer = make_optimizer(self.model, given['optimizer'])
        self.autocast = (
            torch.autocast('cpu', dtype=torch.bfloat16)
            if given['precision'] == 'bfloat16'
            else contextlib.nullcontext()
        )
        self.forward = torch.compile(self.model) if given['compile'] else self.model

    def step(self):
        with self.autocast:
            loss = self.forward(self.batch, self.mask_ratio)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def steps(self, count):
        ms, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            losses.append(self.step())
            ms.append(1e3 * (time.perf_counter() - start))
        return {'ms': ms, 'losses': losses}

    def profile(self, count):
        """Operators by their own time; nativeMs is ms, as all of them are native."""
        with torch.profiler.profile(with_flops=True) as profiler:
            start = time.perf_counter()
            self.steps(count)
            step_ms = 1e3 * (time.perf_counter() - start) / count
        kernels = []
        for event in profiler.key_averages():
            ms = event.self_cpu_time_total / 1e3 / count
            kernels.append({
                'kernel': event.key, 'calls': event.count / count, 'ms': ms, 'nativeMs': ms,
                'flops': event.flops / count,
            })  # fmt: skip
        kernels.sort(key=lambda kernel: -kernel['ms'])
        return {'stepMs': step_ms, 'kernels': kernels}

    def memory(self):
        status = Path('/proc/self/status').read_text() if os.path.exists('/proc/self/status') else ''
        kibibytes = {k: int(v.split()[0]) for k, v in (s.split(':', 1) for s in status.splitlines()) if k[:2] == 'Vm'}
        peak = 1024 * kibibytes['VmHWM'] if 'VmHWM' in kibibytes else None
        return {'residentBytes': 1024 * kibibytes.get('VmRSS', 0), 'peakBytes': peak}


def make_optimizer(model, settings):
    """Weights of linear layers decay; biases, norms, tokens and bias tables do not."""
    named = list(model.named_parameters())
    decays = {name for name, p in named if name.endswith('.weight') and p.dim() >= 2}
    groups = [
        {'params': [p for name, p in named if name in decays], 'weight_decay': settings['weightDecay']},
        {'params': [p for name, p in named if name not in decays], 'weight_decay': 0.0},
    ]
    betas = (settings['beta1'], settings['beta2'])
    return torch.optim.AdamW(groups, lr=settings['learningRate'], betas=betas, eps=settings['epsilon'], fused=True)


def reset_peak():
    """Forgets what loading took, as the other side does."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path('/proc/self/clear_refs').write_text('5')
        return True
    except OSError:
        return False


def main():
    # Whatever a library prints must not end up between the replies.
    replies = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given['threads'])
    stepper = Stepper(given)
    ready = {
        'parameters': sum(p.numel() for p in stepper.model.parameters()),
        'versions': {'torch': torch.__version__, 'isa': torch.backends.cpu.get_cpu_capability()},
        'peakReset': reset_peak(),
    }
    print(json.dumps(ready), file=replies)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            arguments = [command['count']] if 'count' in command else []
            reply = getattr(stepper, command['do'])(*arguments)
        except Exception as error:  # answered, so that the other side can go on
            traceback.print_exc()
            reply = {'error': f'{type(error).__name__}: {error}'.split('\n')[0]}
        print(json.dumps(reply), file=replies)


if __name__ == '__main__':
    main()
