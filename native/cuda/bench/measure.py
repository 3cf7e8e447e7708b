# SPDX-License-Identifier: Apache-2.0
"""Checks and times groups of cases.py in this process, and tells gpu_bench.py, which started it: a JSON object on a line each.

{"head": versions}, {"group": place, "cases": [...]} before a group is begun, {"row": ...} as often as more is known of a case, {"ended": place},
{"done": true}. A device that an error has spoilt ends the process.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from cases import cases_of, groups  # noqa: E402
from dm_cuda import Library  # noqa: E402

WARM_UP, TURNS, BATCH_MS = 3, 15, 10.0


def copied_bytes_per_second():
    """Read and written, of a device-to-device copy of 4 GB."""
    source = torch.randn(2**30, device='cuda')
    target = torch.empty_like(source)
    run = timed(lambda: target.copy_(source), torch.cuda.current_stream())
    return 2 * 4 * 2**30 / (1e-3 * statistics.median(run() for _ in range(5)))


def operations_per_second(dtype, size):
    """Of PyTorch's product of two random squares."""
    a, b = (torch.randn(size, size, device='cuda').to(dtype) for _ in range(2))
    run = timed(lambda: a @ b, torch.cuda.current_stream())
    return 2 * size**3 / (1e-3 * statistics.median(run() for _ in range(5)))


def ceilings():
    """What this GPU reaches with plain work: the denominators of the floors."""
    found = {
        'bytes': copied_bytes_per_second(),
        'bfloat16': operations_per_second(torch.bfloat16, 8192),
        'float32': operations_per_second(torch.float32, 4096),
    }
    torch.cuda.empty_cache()
    return found


def wait_for_all():
    """The library's stream does not wait for PyTorch's, nor PyTorch's for it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def relative_error(got, wanted):
    got, wanted = got.double(), wanted.double().reshape(got.shape)
    norm = wanted.norm().item()
    error = (got - wanted).norm().item()
    return error / norm if norm > 0 else error


def prepare(library, case):
    """A call of all its ops in order."""
    calls = case.calls or [(case.op, case.buffers or [*case.inputs, *case.outputs], case.numbers)]
    prepared = [library.prepare(*one) for one in calls]

    def call():
        for one in prepared:
            one()

    return call


def is_compiled(name):
    return 'compiled' in name


def check(library, case):
    call = prepare(library, case)
    # These tensors may be where others were, of whose weights the library keeps copies.
    library.trim()
    wait_for_all()
    call()
    library.synchronize()
    first = [t.clone() for t in case.outputs]
    errors = [relative_error(t, w) for t, w in zip(case.outputs, case.reference()) if w is not None]
    wait_for_all()
    call()
    library.synchronize()
    same = all(torch.equal(a, b) for a, b in zip(first, case.outputs))
    finite = all(t.isfinite().all().item() for t in case.outputs)
    # Written so that NaN fails, wherever it stands.
    good = all(error <= case.bound for error in errors) and finite and same
    worst = max((e for e in errors if e == e), default=0.0) if all(e == e for e in errors) else None
    return call, {'error': worst, 'bound': case.bound, 'finite': finite, 'repeatable': same, 'passed': bool(good)}


def timed(call, stream):
    """Milliseconds of one call: events around as many as fill BATCH_MS."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def batch(count):
        with torch.cuda.stream(stream):
            start.record()
            for _ in range(count):
                call()
            end.record()
        end.synchronize()
        return start.elapsed_time(end) / count

    for _ in range(WARM_UP):
        batch(1)
    count = max(1, int(BATCH_MS / max(batch(2), 1e-3)))
    return lambda: batch(count)


def time_case(library, case, call, peers, limits):
    """Ours and the peers in turns. Where peers run the forward pass too, so does the side of ours that they are compared with."""
    ours = torch.cuda.ExternalStream(library.stream())
    sides = {'ours': timed(call, ours)}
    base = 'ours'
    if case.forward is not None:
        base = 'ours, forward and backward'
        forward = prepare(library, case.forward)
        sides[base] = timed(lambda: (forward(), call()), ours)
    refused = {}
    for name, peer in peers.items():
        # A peer that cannot run here (a compiler that is missing, say) is one figure less, not the end of a rare run.
        try:
            sides[name] = timed(peer, torch.cuda.current_stream())
        except Exception as error:
            refused[name] = f'{type(error).__name__}: {error}'[:500]
    samples = {name: [] for name in sides}
    for turn in range(TURNS):
        for name in sorted(sides, reverse=turn % 2 == 1):
            samples[name].append(sides[name]())
    library.synchronize()
    medians = {name: statistics.median(values) for name, values in samples.items()}
    floor = 1e3 * max(case.flops / limits[case.precision], case.bytes / limits['bytes'])
    return {
        'ms': medians,
        'p10_p90': {name: [sorted(v)[len(v) // 10], sorted(v)[-1 - len(v) // 10]] for name, v in samples.items()},
        'floor_ms': floor,
        'of_floor': floor / medians['ours'],
        'ratio': {name: statistics.median(p / o for p, o in zip(samples[name], samples[base])) for name in peers if name in sides},
        'refused': refused,
    }


def called_once(peers):
    """Nothing is timed without a GPU, but PyTorch's side is called, so that its mistakes show."""
    refused = {}
    for name, peer in peers.items():
        try:
            peer()
        except RuntimeError as error:
            refused[name] = str(error).splitlines()[0]
    return refused


def run_case(library, case, limits, compiled, say):
    """One case; rows as more is known. compiled: only beside PyTorch's compiler, as the rest is known already."""
    peers = {name: peer for name, peer in case.peers.items() if is_compiled(name) == compiled}
    row = {'name': case.name, 'op': case.op, 'precision': case.precision}
    if not library.has(case.op):
        say(row={**row, 'state': 'not built'})
        return
    try:
        if compiled and not peers:
            # Its results are what the next case reads.
            library.trim()
            wait_for_all()
            prepare(library, case)()
            return
        call, checked = check(library, case)
        row |= {'check': checked, 'state': 'checked'}
        if limits is None:
            say(row={**row, 'refused': called_once(peers)})
        else:
            say(row=row)
            say(row={**row, 'state': 'run', 'time': time_case(library, case, call, peers, limits)})
    except RuntimeError as error:
        # Told by the library, or by PyTorch out of memory: the other cases still count.
        say(row={**row, 'state': 'failed', 'error': str(error)[:1000]})
        # Raises where the device is spoilt; what comes after would only repeat it.
        wait_for_all()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('library', type=Path)
    parser.add_argument('--emulated', action='store_true')
    parser.add_argument('--from', type=int, default=0, dest='first')
    parser.add_argument('--compiled', action='store_true')
    options = parser.parse_args()
    # What a library prints must not end up between the lines.
    lines = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    say = lambda **line: print(json.dumps(line, allow_nan=False), file=lines)  # noqa: E731

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    library = Library(options.library)
    limits = None if options.emulated else ceilings()
    cudnn = None if options.emulated else torch.backends.cudnn.version()
    versions = {'torch': torch.__version__, 'python': platform.python_version(), 'cudnn': cudnn, 'ceilings': limits}
    say(head={'device': library.describe(), **versions})
    for place, group in enumerate(groups(small=options.emulated)):
        if place < options.first:
            continue
        say(group=place, cases=[{'name': group.name}])
        cases = cases_of(group, 'cpu' if options.emulated else 'cuda')
        say(group=place, cases=[{'name': c.name, 'op': c.op, 'precision': c.precision} for c in cases])
        for case in cases:
            run_case(library, case, limits, options.compiled, say)
        say(ended=place)
        del cases, case
        gc.collect()
        if not options.emulated:
            torch.cuda.empty_cache()
            torch._dynamo.reset()
    say(done=True)


if __name__ == '__main__':
    main()
