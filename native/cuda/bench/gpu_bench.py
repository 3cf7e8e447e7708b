# SPDX-License-Identifier: Apache-2.0
"""Checks every case of cases.py against float64 and times it beside PyTorch on the same GPU, turn by turn.

    gpu_bench.py LIBRARY --out RECORD.json            on a GPU
    gpu_bench.py LIBRARY --emulated --out RECORD.json  small shapes on the emulator's library; nothing is timed

Times are medians of CUDA events around a batch of calls; sides take turns, so that the clock's changes meet both. Exit code 1 when a result is
past its bound (NaN is past every bound).
"""

import argparse
import json
import platform
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from cases import all_cases  # noqa: E402
from dm_cuda import Library  # noqa: E402

# H200, measured ceilings (native/cuda/README.md): bytes a second, bfloat16 multiply-adds counted twice a second, float32 likewise.
CEILINGS = {'bytes': 4.3e12, 'bfloat16': 790e12, 'float32': 60e12}
WARM_UP, TURNS, BATCH_MS = 3, 15, 10.0


def relative_error(got, wanted):
    got, wanted = got.double(), wanted.double().reshape(got.shape)
    norm = wanted.norm().item()
    error = (got - wanted).norm().item()
    return error / norm if norm > 0 else error


def check(library, case):
    calls = case.calls or [(case.op, case.buffers or [*case.inputs, *case.outputs], case.numbers)]
    prepared = [library.prepare(*one) for one in calls]

    def call():
        for one in prepared:
            one()

    # These tensors may be where others were, of whose weights the library keeps copies.
    library.trim()
    call()
    library.synchronize()
    first = [t.clone() for t in case.outputs]
    errors = [relative_error(t, w) for t, w in zip(case.outputs, case.reference()) if w is not None]
    call()
    library.synchronize()
    same = all(torch.equal(a, b) for a, b in zip(first, case.outputs))
    finite = all(t.isfinite().all().item() for t in case.outputs)
    worst = max(errors, default=0.0)
    # Written so that NaN fails.
    good = worst <= case.bound and finite and same
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


def time_case(library, case, call):
    ours = torch.cuda.ExternalStream(library.stream())
    sides = {'ours': timed(call, ours)}
    refused = {}
    for name, peer in case.peers.items():
        # A peer that cannot run here (a compiler that is missing, say) is one figure less, not the end of a rare run.
        try:
            sides[name] = timed(peer, torch.cuda.current_stream())
        except Exception as error:
            refused[name] = f'{type(error).__name__}: {error}'
    samples = {name: [] for name in sides}
    for turn in range(TURNS):
        for name in sorted(sides, reverse=turn % 2 == 1):
            samples[name].append(sides[name]())
    medians = {name: statistics.median(values) for name, values in samples.items()}
    floor = 1e3 * max(case.flops / CEILINGS[case.precision], case.bytes / CEILINGS['bytes'])
    return {
        'ms': medians,
        'p10_p90': {name: [sorted(v)[len(v) // 10], sorted(v)[-1 - len(v) // 10]] for name, v in samples.items()},
        'floor_ms': floor,
        'of_floor': floor / medians['ours'],
        'ratio': {name: statistics.median(p / o for p, o in zip(samples[name], samples['ours'])) for name in sides if name != 'ours'},
        'refused': refused,
    }


def called_once(case):
    refused = {}
    for name, peer in case.peers.items():
        try:
            peer()
        except RuntimeError as error:
            refused[name] = str(error).splitlines()[0]
    return refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('library', type=Path)
    parser.add_argument('--emulated', action='store_true')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    library = Library(options.library)
    place = 'cpu' if options.emulated else 'cuda'
    record = {
        'device': library.describe(),
        'torch': torch.__version__,
        'python': platform.python_version(),
        'cudnn': None if options.emulated else torch.backends.cudnn.version(),
        'cases': [],
    }
    failed = 0
    for case in all_cases(place, small=options.emulated):
        row = {'name': case.name, 'op': case.op, 'precision': case.precision}
        if not library.has(case.op):
            row['state'] = 'not built'
        else:
            try:
                call, row['check'] = check(library, case)
                failed += not row['check']['passed']
                row['state'] = 'checked'
                if options.emulated:
                    # Nothing is timed, but PyTorch's side is called once, so that its mistakes show without a GPU.
                    row['refused'] = called_once(case)
                else:
                    row['time'] = time_case(library, case, call)
                    row['state'] = 'run'
            except RuntimeError as error:
                # Told by the library, or by PyTorch out of memory: the other cases still count.
                failed += 1
                row |= {'state': 'failed', 'error': str(error)}
        record['cases'].append(row)
        options.out.write_text(json.dumps(record, indent=1) + '\n')
        verdict = row.get('check', {})
        print(f"{row['state']:9} {case.name}  error {verdict.get('error', float('nan')):.1e} of {case.bound:.0e}"
              f"{'' if verdict.get('passed', True) else '  FAILED'}  {row.get('time', {}).get('ratio', '')}", flush=True)  # fmt: skip
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
