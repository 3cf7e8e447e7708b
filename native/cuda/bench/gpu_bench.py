# SPDX-License-Identifier: Apache-2.0
"""Checks every case of cases.py against float64 and times it beside PyTorch on the same GPU, turn by turn.

    gpu_bench.py LIBRARY --out RECORD.json            on a GPU
    gpu_bench.py LIBRARY --emulated --out RECORD.json  small shapes on the emulator's library; nothing is timed

measure.py does it, in a process of its own: a fault or an endless kernel costs the group it is in, and the next one begins in a fresh process. First all
cases, then those that PyTorch's compiler takes part in, once more, beside it. The record is written anew with each row. Exit code 1 when a result is
past its bound (NaN is past every bound).
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from record import update  # noqa: E402

# Without a word; compiling takes the longest.
SILENT_SECONDS = 150


class Bench:
    def __init__(self, options):
        self.options = options
        self.deadline = time.monotonic() + 60 * options.minutes
        self.rows = {}
        self.stopped = False
        self.record = {'cases': []}

    def save(self):
        self.record['cases'] = list(self.rows.values())
        for path in (self.options.out, self.options.also):
            if path is not None:
                update(path, self.record)

    def keep(self, row, compiled):
        name = row['name']
        if compiled:
            # Beside the compiler; what came before stays.
            before = self.rows.get(name, {})
            if 'time' in row:
                row = {**before, 'compiled': row['time']}
            elif row['state'] == 'failed':
                row = {**before, 'compiled': {'error': row['error']}}
            else:
                return
        self.rows[name] = row
        self.save()
        show(row, compiled)

    def run_pass(self, compiled):
        """All groups, in as many processes as it takes."""
        first = 0
        while first is not None:
            if time.monotonic() > self.deadline:
                self.record['ended'] = 'no time was left'
                self.save()
                return
            first = self.run_process(first, compiled)

    def run_process(self, first, compiled):
        """From group `first` on; the group to go on with in another process, None when there is none."""
        program = [sys.executable, str(Path(__file__).parent / 'measure.py'), str(self.options.library), '--from', str(first)]
        program += ['--emulated'] * self.options.emulated + ['--compiled'] * compiled
        child = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        group, cases, done, late = first - 1, [], False, False

        def kill():
            nonlocal late
            late = True
            child.kill()

        def wait():
            timer = threading.Timer(max(1, min(SILENT_SECONDS, self.deadline - time.monotonic())), kill)
            timer.start()
            return timer

        timer = wait()
        for text in child.stdout:
            timer.cancel()
            line = json.loads(text)
            if 'head' in line:
                self.record = {**line['head'], **self.record}
            elif 'group' in line:
                group, cases = line['group'], line['cases']
            elif 'row' in line:
                self.keep(line['row'], compiled)
                cases = [case for case in cases if case['name'] != line['row']['name'] or line['row']['state'] == 'checked']
            elif 'ended' in line:
                # Perhaps nothing of the rest was to be done.
                cases = []
            done = done or 'done' in line
            timer = wait()
        timer.cancel()
        code = child.wait()
        if done:
            return None
        if group < first:
            # Nothing was begun: another process would end no better.
            self.fail('the start of the bench', late, code, compiled, {})
            self.stopped = True
            return None
        self.blame(cases, late, code, compiled)
        return group + 1

    def blame(self, cases, late, code, compiled):
        """The first case without a result has ended the process; the others were not run."""
        for place, case in enumerate(cases):
            if place == 0:
                self.fail(case['name'], late, code, compiled, case)
            elif case['name'] not in self.rows:
                self.rows[case['name']] = {**case, 'state': 'not run', 'error': f"the process ended in '{cases[0]['name']}'"}
        self.save()

    def fail(self, name, late, code, compiled, case):
        if late and time.monotonic() > self.deadline:
            self.rows.setdefault(name, {**case, 'name': name, 'state': 'not run', 'error': 'no time was left'})
            return
        reason = f'no word within {SILENT_SECONDS} s' if late else f'its process ended with code {code}'
        before = self.rows.get(name, {})
        self.keep({**before, **case, 'name': name, 'state': 'failed', 'error': reason}, compiled)


def show(row, compiled):
    verdict, took = row.get('check', {}), row.get('compiled' if compiled else 'time', {})
    error = verdict.get('error')
    said = '' if 'bound' not in verdict else f"error {'NaN' if error is None else format(error, '.1e')} of {verdict['bound']:.0e}"
    flag = '' if verdict.get('passed', True) else '  FAILED'
    ms = {name: round(value, 4) for name, value in took.get('ms', {}).items()}
    ratio = {name: round(value, 2) for name, value in took.get('ratio', {}).items()}
    print(f"{row['state']:9} {row['name']}  {said}{flag}  {ms or ''} {ratio or ''} {row.get('error', '')} {took.get('error', '')}".rstrip(), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('library', type=Path)
    parser.add_argument('--emulated', action='store_true')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--also', type=Path, help='a record of run-on-gpu.sh to put all of it into')
    parser.add_argument('--minutes', type=float, default=60)
    bench = Bench(parser.parse_args())
    bench.run_pass(compiled=False)
    if not bench.options.emulated and not bench.stopped:
        bench.run_pass(compiled=True)
    bench.save()
    states = [row['state'] for row in bench.rows.values()]
    print(', '.join(f'{states.count(state)} {state}' for state in dict.fromkeys(states)))
    good = bool(states) and all(row['state'] != 'failed' and row.get('check', {}).get('passed', True) for row in bench.rows.values())
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
