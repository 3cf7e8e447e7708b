# SPDX-License-Identifier: Apache-2.0
"""Puts what run-on-gpu.sh left behind into one JSON record, beside what an earlier call put there; without a GPU, a record that says 'not run' for each row."""

import argparse
import contextlib
import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# How run-on-gpu.sh's programs end: compute-sanitizer's own code, and that of `timeout`.
FOUND, LATE = '9', ('124', '137')


def commit(build):
    """Of the sources; a machine with a GPU need not have git, then what was built elsewhere says it."""
    with contextlib.suppress(OSError):
        made = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, cwd=Path(__file__).parent)
        if made.returncode == 0:
            return made.stdout.strip()
    noted = build / 'device/commit.txt' if build else None
    return noted.read_text().strip() if noted and noted.exists() else None


def rows_not_run():
    try:
        from cases import cases_of, groups
    except ImportError:
        return []
    cases = [case for group in groups(small=True) for case in cases_of(group, 'cpu')]
    return [{'name': case.name, 'op': case.op, 'precision': case.precision, 'state': 'not run'} for case in cases]


def lines(path):
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def said(log, begin, end):
    """A little of what a program said."""
    text = log.read_text(errors='replace') if log.exists() else ''
    return text if len(text) <= begin + end else f'{text[:begin]}\n…\n{text[len(text) - end:]}'


def test_row(build, name, code, ms):
    row = {'program': name, 'passed': code == '0', 'ms': int(ms)}
    return row if row['passed'] else row | {'code': int(code), 'said': said(build / f'device/{name}.log', 500, 1500)}


def sanitizer_row(build, tool, name, code):
    states = {'0': 'clean', FOUND: 'errors', 'left': 'no time was left', **dict.fromkeys(LATE, 'not finished')}
    row = {'tool': tool, 'program': name, 'state': states.get(code, f'ended with code {code}')}
    return row if code in ('0', 'left') else row | {'said': said(build / f'device/{name}.{tool}.log', 2500, 500)}


def parts(build):
    """What is there by now."""
    found = {}
    if (build / 'smi.txt').exists():
        found['nvidia_smi'] = (build / 'smi.txt').read_text().splitlines()
    if tests := lines(build / 'tests.txt'):
        found['tests'] = [test_row(build, *line) for line in tests]
    if checked := lines(build / 'sanitizer.txt'):
        found['sanitizer'] = [sanitizer_row(build, *line) for line in checked]
    if (build / 'bench.json').exists():
        found |= json.loads((build / 'bench.json').read_text())
    return found


def update(path, values):
    """Other entries of the record stay, what native/run-node-suites-on-gpu.sh has put there too."""
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get('state') == 'not run' and values.get('state', 'run') != 'not run':
        before = {'suites': before['suites']} if 'suites' in before else {}
    elif before.get('commit', values.get('commit')) != values.get('commit', before.get('commit')):
        before = {'suites': before['suites']} if 'suites' in before else {}
    suites = before.pop('suites', None)
    record = {**before, **values}
    # By this entry a record is known to be one of kernels.
    record.setdefault('cases', [])
    record |= {} if suites is None else {'suites': suites}
    part = path.with_name(f'{path.name}.part')
    part.write_text(json.dumps(record, indent=1, allow_nan=False) + '\n')
    part.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--build', type=Path)
    parser.add_argument('--not-run', metavar='REASON')
    options = parser.parse_args()
    head = {
        'command': 'native/cuda/run-on-gpu.sh',
        'date': datetime.datetime.now(datetime.UTC).date().isoformat(),
        'commit': commit(options.build),
        'machine': platform.platform(),
    }
    if options.not_run:
        update(options.out, {**head, 'state': 'not run', 'reason': options.not_run, 'cases': rows_not_run()})
    else:
        update(options.out, {**head, 'state': 'run', **parts(options.build)})


if __name__ == '__main__':
    main()
