# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of the training-step bench: a process that steps the model on command.

Argument: a JSON object {folder, setup: {config, maskRatio}, repeats, precision, threads, device, compile, capture, optimizer}. One JSON
object per line in and out: {"do": "steps" | "profile", "count": n} or {"do": "memory"}, as bench/step-process.ts.

On CUDA: attention by cuDNN wherever it takes the shapes, losses read once a turn, and with `capture` the whole step as a CUDA graph.
"""

import contextlib
import ctypes
import gc
import json
import math
import os
import sys
import time
import traceback
from pathlib import Path

import torch
from diffmavil_torch import DiffMavil
from torch.nn.attention import SDPBackend, sdpa_kernel

# Steps before one is captured: the first allocate and, on the side that asks for it, compile.
EAGER_STEPS = 3
BACKENDS = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
DTYPES = {'F32': torch.float32, 'I32': torch.int32}


def load(path):
    """The tensors of a safetensors file."""
    data = torch.from_file(str(path), size=path.stat().st_size, dtype=torch.uint8)
    length = int.from_bytes(bytes(data[:8].tolist()), 'little')
    header = json.loads(bytes(data[8 : 8 + length].tolist()))
    header.pop('__metadata__', None)

    def tensor(dtype, shape, data_offsets):
        first, end = (8 + length + offset for offset in data_offsets)
        return data[first:end].clone().view(DTYPES[dtype]).reshape(shape)

    return {name: tensor(**entry) for name, entry in header.items()}


class Stepper:
    def __init__(self, given):
        folder, setup = Path(given['folder']), given['setup']
        self.device, self.mask_ratio = torch.device(given['device']), setup['maskRatio']
        self.model = DiffMavil(setup['config'])
        self.model.load_state_dict(load(folder / 'weights.safetensors'))
        self.model.to(self.device)
        self.batch = self.load_batch(folder / 'batch.safetensors', given.get('repeats', 1))
        self.precision, self.captures = given['precision'], bool(given.get('capture'))
        self.graph, self.done = None, 0
        self.optimizer = make_optimizer(self.model, given['optimizer'], self.captures)
        self.attention = BACKENDS if self.cuda and self.cudnn_attends() else BACKENDS[1:]
        self.compiled = given['compile'] is not None
        self.forward = self.compile(given['compile']) if self.compiled else self.model
        # What is captured is warmed up on the same stream.
        self.stream = torch.cuda.Stream() if self.captures else None

    @property
    def cuda(self):
        return self.device.type == 'cuda'

    def load_batch(self, path, repeats):
        batch = {name: x.to(self.device).repeat(repeats, *[1] * (x.dim() - 1)) for name, x in load(path).items()}
        for m in ('audio', 'video'):
            order = batch[f'{m}.order'].long()
            batch[f'{m}.order'], batch[f'{m}.restore'] = order, order.argsort(dim=1)
            batch[f'{m}.timestep'] = batch[f'{m}.timestep'].long()
        return batch

    def compile(self, mode):
        import torch._dynamo

        # Its graphs then read the batch where it is, and copy nothing.
        for x in self.batch.values():
            torch._dynamo.mark_static_address(x)
        return torch.compile(self.model, mode=mode, dynamic=False)

    def cudnn_attends(self):
        """Whether a step runs with cuDNN's attention; it refuses some shapes only once it is called."""
        self.attention = BACKENDS
        try:
            self.loss(self.model).backward()
            torch.cuda.synchronize()
            return True
        except RuntimeError:
            traceback.print_exc()
            return False
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def loss(self, forward):
        bfloat16 = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == 'bfloat16')
        attention = sdpa_kernel(self.attention, set_priority=True) if self.cuda else contextlib.nullcontext()
        with bfloat16, attention:
            return forward(self.batch, self.mask_ratio)

    def step(self):
        """The loss before the update, [] on the device."""
        loss = self.loss(self.forward)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def record(self):
        """The whole step as one graph; gradients live in its memory and are written anew by each replay."""
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.captured_loss = self.loss(self.forward)
            self.captured_loss.backward()
            self.optimizer.step()

    def replay(self):
        self.graph.replay()
        return self.captured_loss.detach()

    def steps(self, count):
        return self.device_steps(count) if self.cuda else self.host_steps(count)

    def host_steps(self, count):
        ms, losses = [], []
        for _ in range(count):
            start = time.perf_counter()
            losses.append(self.step().item())
            ms.append(1e3 * (time.perf_counter() - start))
        return {'ms': ms, 'losses': losses}

    def device_steps(self, count):
        """As many steps in a row as asked for, and one wait at their end: each gets the mean."""
        if self.done == EAGER_STEPS:
            # What compiling and choosing took is not the step's.
            torch.cuda.empty_cache()
            if self.captures:
                self.record()
        step = self.step if self.graph is None else self.replay
        losses = []
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.cuda.stream(self.stream):
            for _ in range(count):
                if self.compiled:
                    torch.compiler.cudagraph_mark_step_begin()
                losses.append(step().clone())
        torch.cuda.synchronize()
        ms = 1e3 * (time.perf_counter() - start) / count
        self.done += count
        return {'ms': [ms] * count, 'losses': torch.stack(losses).tolist()}

    def profile(self, count):
        """Operators by their own time; nativeMs is ms, as all of them are native."""
        with torch.profiler.profile(with_flops=True) as profiler:
            start = time.perf_counter()
            self.steps(count)
            step_ms = 1e3 * (time.perf_counter() - start) / count
        kernels = []
        for event in profiler.key_averages():
            own = event.self_device_time_total if self.cuda else event.self_cpu_time_total
            ms = own / 1e3 / count
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
        device = torch.cuda.memory_reserved() if self.cuda else None
        return {'residentBytes': 1024 * kibibytes.get('VmRSS', 0), 'peakBytes': peak, 'deviceBytes': device}

    def versions(self):
        versions = {'torch': torch.__version__, 'isa': torch.backends.cpu.get_cpu_capability()}
        if self.cuda:
            versions |= {
                'device': torch.cuda.get_device_name(),
                'cuda': torch.version.cuda,
                'cudnn': str(torch.backends.cudnn.version()),
                'attention': ', '.join(backend.name for backend in self.attention),
            }
        return versions


def make_optimizer(model, settings, capturable):
    """Weights of linear layers decay; biases, norms, tokens and bias tables do not."""
    named = list(model.named_parameters())
    decays = {name for name, p in named if name.endswith('.weight') and p.dim() >= 2}
    groups = [
        {'params': [p for name, p in named if name in decays], 'weight_decay': settings['weightDecay']},
        {'params': [p for name, p in named if name not in decays], 'weight_decay': 0.0},
    ]
    betas = (settings['beta1'], settings['beta2'])
    return torch.optim.AdamW(
        groups, lr=settings['learningRate'], betas=betas, eps=settings['epsilon'], fused=True, capturable=capturable
    )


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


def answer(work):
    """What the other side is told: the result, or in one line why there is none."""
    try:
        return work()
    except Exception as error:
        traceback.print_exc()
        return {'error': f'{type(error).__name__}: {error}'.split('\n')[0]}


def without_nan(reply):
    """A loss that is no number, as JSON knows it: null."""
    if 'losses' not in reply:
        return reply
    return reply | {'losses': [loss if math.isfinite(loss) else None for loss in reply['losses']]}


def start(given):
    if given['device'] == 'cuda' and not torch.cuda.is_available():
        raise RuntimeError('expected a GPU that PyTorch sees, got none')
    # float32 is float32 on both sides.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(given['threads'])
    return Stepper(given)


def main():
    # Whatever a library prints must not end up between the replies.
    replies = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    stepper = None

    def begin():
        nonlocal stepper
        stepper = start(json.loads(sys.argv[1]))
        parameters = sum(p.numel() for p in stepper.model.parameters())
        return {'parameters': parameters, 'versions': stepper.versions(), 'peakReset': reset_peak()}

    def obey(command):
        arguments = [command['count']] if 'count' in command else []
        return getattr(stepper, command['do'])(*arguments)

    print(json.dumps(answer(begin)), file=replies)
    for line in sys.stdin if stepper else ():
        print(json.dumps(without_nan(answer(lambda: obey(json.loads(line))))), file=replies)


if __name__ == '__main__':
    main()
